"""Leaf nodes: the connections between hubs and leaf nodes, and what is joined by them."""
