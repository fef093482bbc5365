"""The page in the browser, and its server.

`server` answers requests, `requests` checks them, `prompts` reads the user's music, `jobs` queues the work,
`composing` composes and describes the candidates, `piece_store` keeps pieces for a while, and `rendering` turns a piece
into a file.
"""
