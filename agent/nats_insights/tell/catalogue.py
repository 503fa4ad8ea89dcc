"""The public catalogue of NATS checks, by code: what this program is compared with.

Codes, titles and severities of Synadia Insights, from its public pages of the summer of 2026.
"""

from __future__ import annotations

from msgspec import Struct


class Listed(Struct, frozen=True):
    """A check of the catalogue. Some have two severities, such as "warning/critical"."""

    code: str
    severity: str
    title: str


_TEXT = """
ACCOUNTS_001 warning Account Connection Limit
ACCOUNTS_002 critical Slow Consumers
ACCOUNTS_003 critical Inactive JWT Import
ACCOUNTS_004 warning Orphaned Export
ACCOUNTS_005 info No Subscription Interest
ACCOUNTS_006 warning Account Subscription Limit
CHANGE_001 info Config Reload Detected
CHANGE_002 warning JetStream Domain Changed
CHANGE_003 info Account Added or Removed
CHANGE_004 info Stream Configuration Changed
CLUSTER_001 warning Memory Usage Outlier
CLUSTER_003 warning High HA Assets
CLUSTER_004 warning Cluster Name Whitespace
CLUSTER_005 warning Route Count Low
CLUSTER_006 warning Connection Count Change
CLUSTER_007 critical Gateway Disconnection
CLUSTER_008 warning Gateway Config Mismatch
CONN_001 warning High Client RTT
CONN_002 warning Client Pending Pressure
CONN_003 info Connection Stopped
CONSUMER_001 critical Consumer Replica Offline
CONSUMER_002 warning Consumer Replica Lag
CONSUMER_003 critical Consumer Quorum Lost
CONSUMER_004 critical Consumer Delivered Below Stream First Sequence
CONSUMER_005 critical Consumer Sequence Ahead of Stream Sequence
CONSUMER_006 critical Outstanding Ack Critical
CONSUMER_007 critical Waiting Critical
CONSUMER_008 critical Unprocessed Critical
CONSUMER_009 critical Last Delivery Critical
CONSUMER_010 critical Last Ack Critical
CONSUMER_011 critical Redelivery Critical
CONSUMER_012 critical Pinned Consumer Policy Mismatch
JETSTREAM_001 warning Stream Replica Lag
JETSTREAM_002 warning High Subject Cardinality
JETSTREAM_003 warning Stream Message Limit
JETSTREAM_004 warning JS API Request Rate High
JETSTREAM_005 warning JS API Pending High
JETSTREAM_006 warning Consumer Count Change
JETSTREAM_007 critical JetStream Memory Utilization Critical
JETSTREAM_008 critical Stream Quorum Lost
JETSTREAM_009 warning JS API Error Rate High
JETSTREAM_010 warning Stream Byte Limit
JETSTREAM_011 warning Stream Consumer Limit
JETSTREAM_013 warning Stream Subject/Message Count Inconsistency
JETSTREAM_014 critical Stream Replica Message Count Divergence
JETSTREAM_015 warning Mirror Last Seen Staleness
JETSTREAM_017 critical Mirror Lag Critical
JETSTREAM_018 critical Mirror Seen Critical
JETSTREAM_019 critical Min Sources
JETSTREAM_020 critical Max Sources
JETSTREAM_021 critical Peer Expect
JETSTREAM_022 critical Peer Lag Critical
JETSTREAM_023 critical Peer Seen Critical
JETSTREAM_024 warning/critical Message Count Threshold
JETSTREAM_025 warning/critical Subject Count Threshold
LEAF_001 warning Leafnode Name Whitespace
LEAF_002 warning High Leaf RTT
LEAF_003 warning/critical Leafnode Subscription Count High
META_001 critical Offline Replica
META_002 critical Leader Disagreement
META_003 warning Meta Leader Flapping
META_004 warning/critical Meta Snapshot Slow
META_005 warning Meta State Growth
META_006 critical Meta Quorum Lost
META_007 warning Even Cluster Size
META_008 warning Meta Pending High
META_009 critical Meta Cluster Size Decreased
OPT_ACCT_001 warning Account Storage Quota Approaching Limit
OPT_ACCT_002 warning Excessive JWT Size
OPT_BALANCE_001 info Uneven Leader Distribution
OPT_BALANCE_002 info Connection Hotspot
OPT_BALANCE_003 info Subscription Hotspot
OPT_BALANCE_004 info Stream Replica Count Imbalance
OPT_BALANCE_005 info JetStream Storage Skew
OPT_BALANCE_006 info Account Connection Concentration
OPT_BALANCE_007 info Stream-Consumer Leader Co-location
OPT_BALANCE_008 warning JetStream Storage Saturation with Skew
OPT_COST_001 info Over-Replicated Inactive Stream
OPT_COST_002 info Memory Storage Large Stream
OPT_COST_003 info Wasted JetStream Memory Reservation
OPT_COST_004 info Uncompressed Large Stream
OPT_COST_005 info Wasted JetStream Storage Reservation
OPT_IDLE_001 info Underutilized Server
OPT_IDLE_002 info Inactive Stream
OPT_IDLE_003 info Inactive Consumer
OPT_IDLE_004 info Drained Consumer
OPT_IDLE_005 info Inactive Account
OPT_IDLE_006 info Disconnected Users
OPT_IDLE_007 info Idle Client Connections
OPT_PLACE_001 info Cross-Cluster Stream Access
OPT_PLACE_002 info Consumer Leader Not Co-located
OPT_PLACE_003 info High Gateway Traffic Ratio
OPT_PLACE_004 info Gateway Interest Mode
OPT_SYS_001 info Streams Without Limits
OPT_SYS_002 warning High Consumer Redelivery
OPT_SYS_003 warning Ack Pending Buildup
OPT_SYS_004 warning Unbound Push Consumer
OPT_SYS_005 warning Route Pending Pressure
OPT_SYS_006 info Leaf Compression Disabled
OPT_SYS_007 warning Raft Apply Lag
OPT_SYS_008 info Unlimited JetStream Account
OPT_SYS_009 critical Leaderless Raft Group
OPT_SYS_010 warning Raft IPQ Backpressure
OPT_SYS_011 info Subscription Fanout Anomaly
OPT_SYS_012 info Subscription Churn
OPT_SYS_013 warning Raft Sustained Catching Up
OPT_SYS_014 warning Gateway Pending Pressure
OPT_SYS_015 info/warning Consumer ACK Floor Divergence
OPT_SYS_016 info Direct Gets Disabled
OPT_SYS_017 info Leafnode Auto Compression with High Count
OPT_SYS_018 warning High Interior Deletes on Stream
OPT_SYS_019 info/warning Large Deduplication Window
OPT_SYS_020 info KV Buckets Without max_age
OPT_SYS_021 info R1 Streams in Multi-Node Clusters
OPT_SYS_022 info Subscription Count Growth
OPT_SYS_023 warning/critical Raft WAL Size Excessive
OPT_SYS_024 warning WorkQueue Discard New with Aggressive Consumer Settings
OPT_SYS_025 warning Sustained Consumer Growth on Stream
OPT_SYS_026 warning Raft Group Peer Count Mismatch
SERVER_001 critical Connection Readiness Failure
SERVER_002 warning Server Version Mismatch
SERVER_003 warning High CPU Usage
SERVER_004 critical Slow Consumers
SERVER_005 warning JetStream Memory Pressure
SERVER_006 warning JetStream Domain Whitespace
SERVER_007 critical Authentication Not Required
SERVER_008 critical Unexpected Server Restart
SERVER_009 critical Server Crash Loop
SERVER_010 warning High Route RTT
SERVER_011 warning Connection Count High
SERVER_012 warning Stale Connections
SERVER_013 warning Stalled Clients
SERVER_014 critical JetStream Subsystem Unhealthy
SERVER_015 critical Stream Recovery Failure
SERVER_016 warning Account Resolution Failure
SERVER_017 warning JetStream Storage Pressure
SERVER_018 warning High Gateway RTT
SERVER_019 warning/critical JetStream Storage vs Configured Limit
SERVICE_001 warning Service Version Mismatch
SERVICE_002 critical Service Down
USER_001 warning Bearer Token User
USER_002 warning Excessive User Connections
"""

CATALOGUE = {
    listed.code: listed
    for listed in (Listed(*line.split(maxsplit=2)) for line in _TEXT.strip().splitlines())
}
