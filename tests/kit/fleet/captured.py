"""What servers of five versions really sent: 2.10.26, 2.11.11, 2.12.8, 2.14.6 and 2.15.1.

By endpoint and path of an object: its keys and their types; `?` marks those that are not always
there. `SERVER` is the object of that name in all of them. Taken from captured replies with
`shapes.shape`.
"""

from __future__ import annotations

CAPTURED: dict[str, dict[str, str]] = {
    "SERVER": {
        "": (
            "name:string host:string id:string cluster?:string ver:string jetstream:boolean "
            "flags:number seq:number time:string tags?:array feature_flags?:object "
        ),
        ".feature_flags": "*:boolean",
    },
    "IDZ": {
        "": "name:string host:string id:string",
    },
    "STATSZ": {
        "": "statsz:object",
        ".statsz": (
            "start:string mem:number cores:number cpu:number connections:number "
            "total_connections:number active_accounts:number subscriptions:number sent:object "
            "received:object slow_consumers:number routes?:array active_servers:number "
            "gateways?:array gomaxprocs?:number sent_to_clients?:object "
            "received_from_clients?:object "
        ),
        ".statsz.gateways[]": (
            "gwid:number name:string sent:object received:object inbound_connections:number "
        ),
        ".statsz.gateways[].received": "msgs:number bytes:number",
        ".statsz.gateways[].sent": "msgs:number bytes:number",
        ".statsz.received": "msgs:number bytes:number",
        ".statsz.received_from_clients": "msgs:number bytes:number",
        ".statsz.routes[]": "rid:number name:string sent:object received:object pending:number",
        ".statsz.routes[].received": "msgs:number bytes:number",
        ".statsz.routes[].sent": "msgs:number bytes:number",
        ".statsz.sent": "msgs:number bytes:number",
        ".statsz.sent_to_clients": "msgs:number bytes:number",
    },
    "VARZ": {
        "": "data:object",
        ".data": (
            "server_id:string server_name:string version:string proto:number git_commit:string "
            "go:string host:string port:number auth_required:boolean connect_urls:array "
            "max_connections:number ping_interval:number ping_max:number http_host:string "
            "http_port:number http_base_path:string https_port:number auth_timeout:number "
            "max_control_line:number max_payload:number max_pending:number cluster:object "
            "gateway:object leaf:object mqtt:object websocket:object jetstream:object "
            "tls_timeout:number write_deadline:number start:string now:string uptime:string "
            "mem:number cores:number gomaxprocs:number cpu:number connections:number "
            "total_connections:number routes:number remotes:number leafnodes:number "
            "in_msgs:number out_msgs:number in_bytes:number out_bytes:number "
            "slow_consumers:number subscriptions:number http_req_stats:object "
            "config_load_time:string system_account:string slow_consumer_stats:object "
            "tags?:array config_digest?:string stale_connections?:number "
            "stalled_clients?:number stale_connection_stats?:object in_client_msgs?:number "
            "in_client_bytes?:number out_client_msgs?:number out_client_bytes?:number "
            "feature_flags?:object disk_io_wait_stats?:object "
        ),
        ".data.cluster": (
            "name:string addr:string cluster_port:number auth_timeout:number urls:array "
            "tls_timeout:number pool_size:number "
        ),
        ".data.disk_io_wait_stats": (
            "waiters:number waits:number wait_time:number max_wait_time:number "
        ),
        ".data.feature_flags": "*:boolean",
        ".data.slow_consumer_stats": "clients:number routes:number gateways:number leafs:number",
        ".data.stale_connection_stats": "clients:number routes:number gateways:number leafs:number",
    },
    "CONNZ": {
        "": "data:object",
        ".data": (
            "server_id:string now:string num_connections:number total:number offset:number "
            "limit:number connections:array "
        ),
        ".data.connections[]": (
            "cid:number kind:string type:string ip:string port:number start:string "
            "last_activity:string rtt:string uptime:string idle:string pending_bytes:number "
            "in_msgs:number out_msgs:number in_bytes:number out_bytes:number "
            "subscriptions:number lang:string version:string name?:string "
        ),
    },
    "CONNZ auth": {
        "": "data:object",
        ".data": (
            "server_id:string now:string num_connections:number total:number offset:number "
            "limit:number connections:array "
        ),
        ".data.connections[]": (
            "cid:number kind:string type?:string ip:string port:number start:string "
            "last_activity:string rtt:string uptime:string idle:string pending_bytes:number "
            "in_msgs:number out_msgs:number in_bytes:number out_bytes:number "
            "subscriptions:number name?:string lang?:string version?:string "
            "authorized_user:string account:string issuer_key?:string jwt?:string "
            "mqtt_client?:string name_tag?:string "
        ),
    },
    "SUBSZ": {
        "": "data:object",
        ".data": (
            "server_id:string now:string num_subscriptions:number num_cache:number "
            "num_inserts:number num_removes:number num_matches:number cache_hit_rate:number "
            "max_fanout:number avg_fanout:number total:number offset:number limit:number "
        ),
    },
    "ROUTEZ": {
        "": "data:object",
        ".data": "server_id:string server_name:string now:string num_routes:number routes:array",
        ".data.routes[]": (
            "rid:number remote_id:string remote_name:string did_solicit:boolean "
            "is_configured:boolean ip:string port:number start:string last_activity:string "
            "rtt:string uptime:string idle:string pending_size:number in_msgs:number "
            "out_msgs:number in_bytes:number out_bytes:number subscriptions:number "
            "compression:string account?:string "
        ),
    },
    "LEAFZ": {
        "": "data:object",
        ".data": "server_id:string now:string leafnodes:number leafs:array",
        ".data.leafs[]": (
            "name:string is_spoke:boolean account:string ip:string port:number rtt:string "
            "in_msgs:number out_msgs:number in_bytes:number out_bytes:number "
            "subscriptions:number compression:string id?:number "
        ),
    },
    "GATEWAYZ": {
        "": "data:object",
        ".data": (
            "server_id:string now:string name?:string host?:string port?:number "
            "outbound_gateways:object inbound_gateways:object "
        ),
        ".data.inbound_gateways": "*?:array",
        ".data.inbound_gateways.*[]": "configured:boolean connection:object",
        ".data.inbound_gateways.*[].connection": (
            "cid:number kind:string ip:string port:number start:string last_activity:string "
            "rtt:string uptime:string idle:string pending_bytes:number in_msgs:number "
            "out_msgs:number in_bytes:number out_bytes:number subscriptions:number name:string "
        ),
        ".data.outbound_gateways": "*?:object",
        ".data.outbound_gateways.*": "configured:boolean connection:object",
        ".data.outbound_gateways.*.connection": (
            "cid:number kind:string ip:string port:number start:string last_activity:string "
            "rtt:string uptime:string idle:string pending_bytes:number in_msgs:number "
            "out_msgs:number in_bytes:number out_bytes:number subscriptions:number name:string "
        ),
    },
    "ACCOUNTZ": {
        "": "data:object",
        ".data": "server_id:string now:string system_account:string accounts:array",
    },
    "ACCOUNTZ account": {
        "": "data:object",
        ".data": "server_id:string now:string system_account:string account_detail:object",
        ".data.account_detail": (
            "account_name:string update_time:string expired:boolean complete:boolean "
            "jetstream_enabled:boolean leafnode_connections:number client_connections:number "
            "subscriptions:number imports:array jwt:string issuer_key:string name_tag:string "
            "tags:array decoded_jwt:object sublist_stats:object "
        ),
        ".data.account_detail.decoded_jwt": (
            "jti:string iat:number iss:string name:string sub:string nats:object "
        ),
        ".data.account_detail.decoded_jwt.nats": (
            "limits:object signing_keys:array default_permissions:object authorization:object "
            "tags:array type:string version:number "
        ),
        ".data.account_detail.decoded_jwt.nats.default_permissions": "pub:object sub:object",
        ".data.account_detail.decoded_jwt.nats.limits": (
            "subs:number data:number payload:number imports:number exports:number "
            "wildcards:boolean conn:number leaf:number "
        ),
        ".data.account_detail.imports[]": (
            "subject:string account:string to:string local_subject:string type:string "
            "invalid:boolean share:boolean tracking:boolean "
        ),
        ".data.account_detail.sublist_stats": (
            "num_subscriptions:number num_cache:number num_inserts:number num_removes:number "
            "num_matches:number cache_hit_rate:number max_fanout:number avg_fanout:number "
        ),
    },
    "STATZ": {
        "": "data:object",
        ".data": "server_id:string now:string account_statz:array",
        ".data.account_statz[]": (
            "acc:string conns:number leafnodes:number total_conns:number "
            "num_subscriptions:number sent:object received:object slow_consumers:number "
            "name?:string "
        ),
        ".data.account_statz[].received": (
            "msgs:number bytes:number gateways?:object routes?:object leafs?:object "
        ),
        ".data.account_statz[].received.gateways": "msgs:number bytes:number",
        ".data.account_statz[].received.leafs": "msgs:number bytes:number",
        ".data.account_statz[].received.routes": "msgs:number bytes:number",
        ".data.account_statz[].sent": (
            "msgs:number bytes:number gateways?:object routes?:object leafs?:object "
        ),
        ".data.account_statz[].sent.gateways": "msgs:number bytes:number",
        ".data.account_statz[].sent.leafs": "msgs:number bytes:number",
        ".data.account_statz[].sent.routes": "msgs:number bytes:number",
    },
    "HEALTHZ": {
        "": "data:object",
        ".data": "status:string status_code:number",
    },
    "JSZ": {
        "": "data:object",
        ".data": (
            "server_id:string now:string disabled:boolean config:object memory:number "
            "storage:number reserved_memory:number reserved_storage:number accounts:number "
            "ha_assets:number api:object streams:number consumers:number messages:number "
            "bytes:number total?:number "
        ),
        ".data.api": "total:number errors:number level?:number",
        ".data.config": "max_memory:number max_storage:number",
    },
    "SHUTDOWN": {
        "": (
            "name:string host:string id:string cluster:string ver:string jetstream:boolean "
            "flags:number seq:number time:string feature_flags?:object "
        ),
        ".feature_flags": "*:boolean",
    },
}
