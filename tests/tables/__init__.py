"""The tables of docs/results.md: published figures beside ours, by shipped recipes.

`make tables` runs what is missing, and writes the page from the JSON in results/. A table is a
list of rows, in the file of its name: see `table.Table`.
"""
