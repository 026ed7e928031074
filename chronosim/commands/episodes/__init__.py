"""Looks after recorded episodes: shows, checks, mends and translates them.

An episode is a folder of a data set; each command takes the data set's path, or the episode's.
"""
