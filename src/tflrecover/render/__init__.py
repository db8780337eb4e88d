"""Reports and files as text. Renderers compute nothing: they draw what they are given."""
