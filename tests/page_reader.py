"""What a page consists of, read as a browser would."""

import html.parser
import re


class Reader(html.parser.HTMLParser):
    """Its tags, ids, links, texts, tables, and the numbers of each table."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.text, self.data, self.tables = [], [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        if "id" in values:
            self.ids.append(values["id"])
        self.links += [values[k] for k in ("href", "src", "xlink:href") if k in values]
        self.links += re.findall(r"url\(([^)]*)\)", " ".join(v or "" for v in values.values()))
        if tag == "table":
            self.tables.append(values["id"])
        if tag == "data":
            self.data.append((self.tables[-1], float(values["value"])))

    def handle_data(self, data):
        self.text.append(data)
