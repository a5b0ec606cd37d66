"""Writes the seeds of fuzz_xml_parse: `python3 tests/fuzz/make_xml_corpus.py`."""

from pathlib import Path

HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams' id='1' version='1.0'>"
)
STREAMS = {
    "login": "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
    "<mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>"
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj0=</success>",
    "message": "<message from='a@b/c' xml:lang='de'><body>x &lt;&#10;&amp; \u00e4</body>"
    "<x xmlns='urn:x'><p:y xmlns:p='urn:p' p:z='1'/></x></message> <presence/></stream:stream>",
    "spaces": " \n <r xmlns='urn:xmpp:sm:3'/>\n\n<a xmlns='urn:xmpp:sm:3' h='7'/> ",
    "cdata": "<a><![CDATA[<b>]]>]]&gt;</a>",
    "deep": "<a>" * 64 + "</a>" * 64,
    "comment": "<a><!-- b --></a>",
    "instruction": "<?b c?>",
    "broken": "<a><b></a>",
}
ALONE = {
    "doctype": "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
    "open": "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='b' version='1.0'/>",
    "not_utf8": "<?xml version='1.0' encoding='utf-16'?><a/>",
}


def main() -> None:
    folder = Path(__file__).parent / "corpus" / "xml_parse"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in STREAMS.items():
        (folder / name).write_bytes(b"\x06" + (HEADER + text).encode())
    for name, text in ALONE.items():
        (folder / name).write_bytes(b"\x02" + text.encode())


if __name__ == "__main__":
    main()
