"""The page in the browser, and its server.

`server` answers requests, `requests` checks them, `prompts` reads the user's music, `jobs` queues the work,
`composing` composes and describes the candidates, `library` keeps requests and `pieces` on disk, `rendering` turns a
piece into a file, and `export` several into one.
"""
