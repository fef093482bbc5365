"""The programs that people run: compose, train, serve, and the `clara` command."""
