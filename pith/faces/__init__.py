"""How a report is shown to people: its words, its figures and its Markdown. The page is ``engine.page``."""
