"""Lists that are sent again whenever they change: Server-Sent Events."""
