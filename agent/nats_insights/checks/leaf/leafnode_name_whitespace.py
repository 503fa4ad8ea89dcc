"""LEAF_001: a server that is joined as a leaf node has whitespace in its name."""

from nats_insights.check import LEAFZ, WARNING, Finding, Leaf, check


@check("LEAF_001", WARNING, "consistency", needs=(LEAFZ,))
def leafnode_name_whitespace(leaf: Leaf) -> Finding | None:
    """A server that is joined by a leaf node connection has whitespace in its name.

    Finds: the name that the server at the other end of a leaf node connection gives itself has a
    space, a tab or any other whitespace in it. Each end names the other one.

    Why: a leaf node that is in no cluster uses its name as that of its cluster, and servers send
    this name in lines whose words are separated by whitespace. Servers of 2.10 refuse such a leaf
    node, and later ones do not start with a space in their name.

    Do: give {remote} another `server_name`, and restart it. Names of accounts and of streams stay
    as they are.

    Catalogue: same.
    """
    if leaf.remote.split() == [leaf.remote] or not leaf.remote:
        return None
    return Finding(
        summary=f"{leaf.server.name} has a leaf node connection with {leaf.remote!r}, "
        f"in account {leaf.account}",
        evidence={"address": leaf.connections[0].ip, "connections": len(leaf.connections)},
    )
