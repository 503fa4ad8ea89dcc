"""What servers with JetStream really sent, as `captured.py` has it of those without.

Of 2.10.26, 2.11.11, 2.12.8, 2.14.6 and 2.15.1; 2.10.26 and 2.15.1 were also asked with streams
that three servers replicate, with a replica that lags, and with groups that have no leader. The
groups of RAFTZ and the queues of IPQUEUESZ stand in a list, without their names.
"""

from __future__ import annotations

from kit.fleet.captured import CAPTURED

JETSTREAM: dict[str, dict[str, str]] = {
    "JSZ": {
        "": "data:object",
        ".data": (
            "server_id:string now:string config:object memory:number storage:number "
            "reserved_memory:number reserved_storage:number accounts:number ha_assets:number "
            "api:object streams:number consumers:number messages:number bytes:number "
            "meta_cluster:object limits?:object total?:number streams_leader?:number "
            "consumers_leader?:number "
        ),
        ".data.api": "total:number errors:number level?:number",
        ".data.config": (
            "max_memory:number max_storage:number store_dir:string sync_interval:number "
            "strict?:boolean compress_ok?:boolean "
        ),
        ".data.limits": "default_max_consumers?:number",
        ".data.meta_cluster": (
            "name:string leader:string peer:string cluster_size:number pending:number "
            "replicas?:array quorum_needed?:number pending_requests?:number pending_infos?:number "
            "snapshot?:object "
        ),
        ".data.meta_cluster.replicas[]": "name:string current:boolean active:number peer:string",
        ".data.meta_cluster.snapshot": (
            "pending_entries:number pending_size:number last_time:string "
        ),
    },
    "JSZ full": {
        "": "data:object",
        ".data": (
            "server_id:string now:string config:object memory:number storage:number "
            "reserved_memory:number reserved_storage:number accounts:number ha_assets:number "
            "api:object streams:number consumers:number messages:number bytes:number "
            "meta_cluster:object account_details:array limits?:object streams_leader?:number "
            "total?:number consumers_leader?:number "
        ),
        ".data.account_details[]": (
            "name:string id:string memory:number storage:number reserved_memory:number "
            "reserved_storage:number accounts:number ha_assets:number api:object "
            "stream_detail?:array "
        ),
        ".data.account_details[].api": "total:number errors:number level?:number",
        ".data.account_details[].stream_detail[]": (
            "name:string created:string cluster:object config:object state:object "
            "consumer_detail?:array stream_raft_group:string consumer_raft_groups?:array "
        ),
        ".data.account_details[].stream_detail[].cluster": (
            "name:string raft_group?:string leader?:string replicas?:array leader_since?:string "
            "system_account?:boolean traffic_account?:string "
        ),
        ".data.account_details[].stream_detail[].cluster.replicas[]": (
            "name:string current:boolean active:number lag?:number peer:string "
        ),
        ".data.account_details[].stream_detail[].config": (
            "name:string subjects:array retention:string max_consumers:number max_msgs:number "
            "max_bytes:number max_age:number max_msgs_per_subject:number max_msg_size:number "
            "discard:string storage:string num_replicas:number duplicate_window:number "
            "compression:string allow_direct:boolean mirror_direct:boolean sealed:boolean "
            "deny_delete:boolean deny_purge:boolean allow_rollup_hdrs:boolean "
            "consumer_limits:object allow_msg_ttl?:boolean metadata?:object "
        ),
        ".data.account_details[].stream_detail[].config.metadata": "*:string",
        ".data.account_details[].stream_detail[].consumer_detail[]": (
            "stream_name:string name:string created:string config:object delivered:object "
            "ack_floor:object num_ack_pending:number num_redelivered:number num_waiting:number "
            "num_pending:number cluster:object ts:string "
        ),
        ".data.account_details[].stream_detail[].consumer_detail[].ack_floor": (
            "consumer_seq:number stream_seq:number last_active?:string "
        ),
        ".data.account_details[].stream_detail[].consumer_detail[].cluster": (
            "name:string raft_group:string leader?:string replicas:array system_account?:boolean "
            "traffic_account?:string leader_since?:string "
        ),
        ".data.account_details[].stream_detail[].consumer_detail[].cluster.replicas[]": (
            "name:string current:boolean active:number peer:string lag?:number "
        ),
        ".data.account_details[].stream_detail[].consumer_detail[].config": (
            "durable_name:string deliver_policy:string ack_policy:string ack_wait:number "
            "max_deliver:number replay_policy:string max_waiting:number max_ack_pending:number "
            "num_replicas:number metadata?:object name?:string "
        ),
        ".data.account_details[].stream_detail[].consumer_detail[].config.metadata": "*:string",
        ".data.account_details[].stream_detail[].consumer_detail[].delivered": (
            "consumer_seq:number stream_seq:number last_active?:string "
        ),
        ".data.account_details[].stream_detail[].consumer_raft_groups[]": (
            "name:string raft_group:string "
        ),
        ".data.account_details[].stream_detail[].state": (
            "messages:number bytes:number first_seq:number first_ts:string last_seq:number "
            "last_ts:string num_subjects?:number consumer_count:number "
        ),
        ".data.api": "total:number errors:number level?:number",
        ".data.config": (
            "max_memory:number max_storage:number store_dir:string sync_interval:number "
            "compress_ok?:boolean strict?:boolean "
        ),
        ".data.limits": "default_max_consumers?:number",
        ".data.meta_cluster": (
            "name:string leader?:string peer?:string cluster_size:number pending:number "
            "snapshot?:object pending_requests?:number pending_infos?:number replicas?:array "
            "quorum_needed?:number "
        ),
        ".data.meta_cluster.replicas[]": "name:string current:boolean active:number peer:string",
        ".data.meta_cluster.snapshot": (
            "pending_entries:number pending_size:number last_time:string "
        ),
    },
    "RAFTZ": {
        "": "data:array",
        ".data[]": (
            "id:string state:string size:number quorum_needed:number committed:number "
            "applied:number leader?:string ever_had_leader:boolean term:number voted_for:string "
            "pterm:number pindex:number ipq_proposal_len:number ipq_entry_len:number "
            "ipq_resp_len:number ipq_apply_len:number wal:object peers:array "
            "system_account?:boolean traffic_account?:string leader_since?:string "
        ),
        ".data[].peers[]": (
            "name:string known:boolean last_replicated_index?:number last_seen?:string "
        ),
        ".data[].wal": (
            "messages:number bytes:number first_seq:number first_ts:string last_seq:number "
            "last_ts:string consumer_count:number "
        ),
    },
    "VARZ": {
        **CAPTURED["VARZ"],
        ".data.jetstream": "config:object stats:object meta:object limits?:object",
        ".data.jetstream.config": (
            "max_memory:number max_storage:number store_dir:string sync_interval:number "
            "compress_ok?:boolean strict?:boolean "
        ),
        ".data.jetstream.limits": "default_max_consumers?:number",
        ".data.jetstream.meta": (
            "name:string leader:string peer:string cluster_size:number pending:number "
            "snapshot?:null|object pending_requests?:number pending_infos?:number replicas?:array "
            "quorum_needed?:number "
        ),
        ".data.jetstream.meta.replicas[]": (
            "name:string current:boolean active:number peer:string "
        ),
        ".data.jetstream.meta.snapshot": (
            "pending_entries:number pending_size:number last_time:string "
        ),
        ".data.jetstream.stats": (
            "memory:number storage:number reserved_memory:number reserved_storage:number "
            "accounts:number ha_assets:number api:object "
        ),
        ".data.jetstream.stats.api": "total:number errors:number level?:number",
    },
    "STATSZ": {
        **CAPTURED["STATSZ"],
        ".statsz": CAPTURED["STATSZ"][".statsz"] + "jetstream:object",
        ".statsz.jetstream": "config:object stats:object meta:object limits?:object",
        ".statsz.jetstream.config": (
            "max_memory:number max_storage:number sync_interval:number compress_ok?:boolean "
            "strict?:boolean "
        ),
        ".statsz.jetstream.limits": "default_max_consumers?:number",
        ".statsz.jetstream.meta": (
            "name:string leader:string peer:string cluster_size:number pending:number "
            "snapshot?:null|object pending_requests?:number pending_infos?:number "
            "quorum_needed?:number replicas?:array "
        ),
        ".statsz.jetstream.meta.replicas[]": (
            "name:string current:boolean active:number peer:string "
        ),
        ".statsz.jetstream.meta.snapshot": (
            "pending_entries:number pending_size:number last_time:string "
        ),
        ".statsz.jetstream.stats": (
            "memory:number storage:number reserved_memory:number reserved_storage:number "
            "accounts:number ha_assets:number api:object "
        ),
        ".statsz.jetstream.stats.api": "total:number errors:number level?:number",
    },
    "IPQUEUESZ all": {
        "": "data:array",
        ".data[]": "pending:number in_progress?:number",
    },
    "HEALTHZ details": {
        "": "data:object",
        ".data": "status:string status_code:number errors?:array",
        ".data.errors[]": "type:string account?:string stream?:string error:string",
    },
    "HEALTHZ wrong": {
        "": "data:object",
        ".data": "status:string status_code:number error?:string",
    },
    "SUBSZ subscriptions": {
        "": "data:object",
        ".data": (
            "server_id:string now:string num_subscriptions:number num_cache:number "
            "num_inserts:number num_removes:number num_matches:number cache_hit_rate:number "
            "max_fanout:number avg_fanout:number total:number offset:number limit:number "
            "subscriptions_list:array "
        ),
        ".data.subscriptions_list[]": (
            "account:string subject:string sid:string msgs:number cid:number account_tag?:string "
        ),
    },
}
