"""The page that a report is written on: everything in one file, legible on any screen."""

from string import Template
from typing import Final

PAGE: Final = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light; --ink: #222; --faint: #666; --line: #ddd }
body { margin: 0 auto; padding: 1.2rem; max-width: 64rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem }
p.when { color: var(--faint); margin: .2rem 0 1.2rem }
.cards { display: flex; flex-wrap: wrap; gap: .6rem; margin: 0 }
.cards div { border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .8rem }
.cards dt { color: var(--faint); font-size: .85rem }
.cards dd { margin: 0; font-size: 1.2rem; font-variant-numeric: tabular-nums }
.cards small { color: var(--faint); font-size: .8rem }
figure { margin: 0 }
.picture { overflow-x: auto }
.picture img { max-width: 100%; height: auto; display: block; margin-bottom: .6rem }
figcaption { max-width: 44rem; color: #444; font-size: .95rem }
details { margin: 1.6rem 0; border-top: 1px solid var(--line); padding-top: .6rem }
summary { cursor: pointer; font-weight: 600 }
pre, .table { overflow-x: auto; font-size: .85rem }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }
td, th { text-align: left; padding: .15rem 1rem .15rem 0; border-bottom: 1px solid #eee }
</style>
</head>
<body>
<h1>$title</h1>
<p class="when">$when</p>
$cards
$pictures
$metrics
$config
</body>
</html>
""")
