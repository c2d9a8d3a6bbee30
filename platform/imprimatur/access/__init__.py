"""Who is asking, and what they may do: principals, roles, tokens, sessions."""
