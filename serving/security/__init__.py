"""Between the network and the routes: authentication, rate limits, load shedding, limits of request bodies."""
