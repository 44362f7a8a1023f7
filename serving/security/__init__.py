"""What stands between the network and the routes: limits, authentication, load shedding."""
