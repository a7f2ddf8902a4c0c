"""The web pages: each asks the same functions as the API, renders one template, and changes nothing by itself. What a
person changes goes to /v1, sent by the small scripts in ``app/static``."""
