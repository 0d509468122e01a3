"""Streaming inspection: camera to verdict, journal, actuators, sinks, dashboard. Needs no torch."""
