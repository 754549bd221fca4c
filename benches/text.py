# SPDX-License-Identifier: MIT
"""Seeded randomness, and text that compresses like source code, prose and mail.

Every byte follows from SEED and the purpose given to `random_for`; nothing is read from the
machine. The functions here only compute, they write no files.
"""

import array
import base64
import os
import sys
import time
from random import Random

SEED = "ghostsnap-bench"
# All times are relative to this moment (2025-06-15), so that runs on different days agree.
REFERENCE = 1_750_000_000
DAY = 86_400


def random_for(*purpose: object) -> Random:
    """Returns a generator of its own for each purpose: one more draw here moves nothing there."""
    return Random("/".join(map(str, (SEED, *purpose))))


def scaled(count: int, scale: float) -> int:
    """Scales a count, never down to nothing."""
    return max(1, round(count * scale))


def log_normal(rng: Random, median: int, sigma: float, low: int, high: int) -> int:
    """Draws a size: most are near the median, a few are far larger, as in real trees."""
    return min(high, max(low, int(median * 2.718281828 ** rng.gauss(0.0, sigma))))


def time_before(rng: Random, days: int) -> int:
    """Draws a moment in nanoseconds within the `days` before REFERENCE."""
    return (REFERENCE - rng.randrange(days * DAY)) * 10**9 + rng.randrange(10**9)


def make_words(rng: Random, count: int, syllables_max: int) -> list[str]:
    """Invents `count` different pronounceable words."""
    heads = "b c d f g l m n p r s t v st tr pl ch".split()
    tails = "a e i o u en er al it on ing ed ar ess".split()
    words: dict[str, None] = {}
    while len(words) < count:
        parts = rng.randrange(1, syllables_max + 1)
        words["".join(rng.choice(heads) + rng.choice(tails) for _ in range(parts))] = None
    return list(words)


def zipf_table(rng: Random, words: list[str], size: int = 65_536) -> list[str]:
    """Spreads words over a table by rank, so that a uniform index draws them with Zipf's law."""
    weights = [1.0 / (rank + 3) for rank in range(len(words))]
    return rng.choices(words, weights, k=size)


def draw(rng: Random, table: list[str], count: int) -> list[str]:
    """Draws `count` entries of a table of 65,536; far faster than `choices`."""
    indexes = array.array("H", rng.randbytes(2 * count))
    if sys.byteorder == "big":
        indexes.byteswap()
    return list(map(table.__getitem__, indexes))


# Lines of source code. Each %s is an identifier, a number or a word of the file's vocabulary.
PHP_LINES = """\t\tif ( ! empty( $%s['%s'] ) ) {
\t\t\t$%s = %s_%s( $%s, '%s' );
\t\t}
\t * @param string $%s The %s %s of the %s.
\t * @return %s|null %s %s on %s, null otherwise.
\t */
\tpublic function %s_%s( $%s, $%s = %s ) {
\t\treturn $this->%s->%s( $%s );
\t\t$%s[] = sprintf( __( '%s %s %s', '%s' ), esc_html( $%s ) );
\t\tforeach ( $this->%s as $%s => $%s ) {
\t}

\t\t\techo '<div class="%s-%s" id="%s">';
\t\t// %s the %s before %s %s %s.
\t\tadd_action( '%s_%s', array( $this, '%s' ), %s );
\t\t\tthrow new %s_Exception( '%s %s %s' );
\t\t$%s = isset( $_POST['%s'] ) ? sanitize_text_field( $_POST['%s'] ) : '';
\tprivate static $%s = array( '%s' => '%s', '%s' => %s );
\t\t} elseif ( '%s' === $%s->%s ) {
\t\tglobal $%s, $%s;
""".splitlines(keepends=True)
JS_LINES = """  var %s = document.querySelector('.%s-%s');
  if (%s && %s.%s !== '%s') {
    %s.%s(function (%s) { return %s.%s; });
  }
  %s.addEventListener('%s', this.%s.bind(this), false);
function %s(%s, %s) {
  return %s.%s(%s) || %s;
}
  // %s %s the %s of %s.
  const { %s, %s } = this.props.%s;
    this.setState({ %s: %s, %s: '%s' });
  for (let i = 0; i < %s.length; i++) {
  module.exports.%s = %s;

""".splitlines(keepends=True)
CSS_LINES = """.%s-%s .%s {
\tdisplay: block;
\tmargin: %spx auto;
\tpadding: 0 %spx %spx;
\tcolor: #%s;
\tbackground: url(../images/%s-%s.png) no-repeat;
\tfont-size: 1.%sem;
}

@media (max-width: %spx) {
\t.%s-%s:hover,
\tborder: 1px solid #%s;
/* %s %s %s */
""".splitlines(keepends=True)
CODE_LINES = {".php": PHP_LINES, ".js": JS_LINES, ".css": CSS_LINES}


class Writer:
    """Writes text that compresses like the real thing: source code, prose and mails."""

    def __init__(self) -> None:
        rng = random_for("vocabulary")
        numbers = [str(rng.randrange(10_000)) for _ in range(600)]
        colours = [f"{rng.randrange(1 << 24):06x}" for _ in range(400)]
        names = make_words(rng, 7_000, 4)
        pairs = [f"{rng.choice(names)}_{rng.choice(names)}" for _ in range(4_000)]
        identifiers = names + pairs + numbers + colours
        rng.shuffle(identifiers)
        self.identifiers = zipf_table(rng, identifiers)
        self.prose_words = zipf_table(rng, make_words(rng, 14_000, 4))

    def code(self, rng: Random, size: int, suffix: str = ".php") -> bytes:
        """Writes about `size` bytes of source code with identifiers local to the file."""
        home = draw(rng, self.identifiers, 32)
        table = [rng.choice(home) for _ in range(138)] + draw(rng, self.identifiers, 118)
        lines = [rng.choice(CODE_LINES[suffix]) for _ in range(256)]
        text = "".join(map(lines.__getitem__, rng.randbytes(size // 38 + 1)))
        words = tuple(map(table.__getitem__, rng.randbytes(text.count("%s"))))
        return (text % words).encode()[:size]

    def prose(self, rng: Random, size: int) -> bytes:
        """Writes about `size` bytes of wrapped text."""
        line = " ".join(["%s"] * 11) + "\n"
        lines = size // 68 + 1
        words = draw(rng, self.prose_words, 11 * lines)
        return (line * lines % tuple(words)).encode()[:size]

    def mail(self, rng: Random, body_bytes: int, part_bytes: int, sent: int) -> bytes:
        """Writes one message as a mail server stores it, with a base64 part if asked for."""
        sender, host, subject, word = draw(rng, self.prose_words, 4)
        key = base64.b64encode(rng.randbytes(96)).decode()
        date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(sent))
        boundary = rng.randbytes(12).hex()
        headers = (
            f"Return-Path: <{sender}@{host}.example>\n"
            f"Delivered-To: info@{word}.example\n"
            f"Received: from mail.{host}.example (mail.{host}.example [192.0.2.{sent % 250}])\n"
            f"\tby mx.{word}.example with ESMTPS id {rng.randbytes(8).hex()}\n"
            f"\tfor <info@{word}.example>; {date}\n"
            f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={host}.example;\n"
            f"\th=from:to:subject:date; b={key[:64]}\n\t{key[64:]}\n"
            f"Message-ID: <{rng.randbytes(10).hex()}@{host}.example>\nDate: {date}\n"
            f"From: {sender} <{sender}@{host}.example>\nTo: info@{word}.example\n"
            f"Subject: {' '.join(draw(rng, self.prose_words, 6))}\nMIME-Version: 1.0\n"
        )
        body = self.prose(rng, body_bytes)
        if part_bytes == 0:
            return headers.encode() + b"Content-Type: text/plain; charset=utf-8\n\n" + body
        line = f"--{boundary}\n".encode()
        part = base64.encodebytes(rng.randbytes(part_bytes * 3 // 4))
        return b"".join((
            headers.encode(), f'Content-Type: multipart/mixed; boundary="{boundary}"\n\n'.encode(),
            line, b"Content-Type: text/plain; charset=utf-8\n\n", body, b"\n",
            line, b"Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n", part,
            f"--{boundary}--\n".encode(),
        ))


def blob(rng: Random, size: int) -> bytes:
    """Returns what a compressor sees in a JPEG: a known head and noise."""
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + rng.randbytes(size) + b"\xff\xd9"


def edited(writer: Writer, rng: Random, name: str, content: bytes) -> bytes:
    """Returns the content with one small piece replaced by a new one of another length."""
    at = rng.randrange(len(content) + 1)
    end = at + rng.randrange(300)
    size = rng.randrange(40, 500)
    suffix = os.path.splitext(name)[1]
    if suffix in CODE_LINES:
        piece = writer.code(rng, size, suffix)
    else:
        piece = rng.randbytes(size) if suffix == ".jpg" else writer.prose(rng, size)
    return content[:at] + piece + content[end:]
