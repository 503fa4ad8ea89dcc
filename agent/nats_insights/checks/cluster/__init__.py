"""Clusters: servers of one cluster that differ from each other."""
