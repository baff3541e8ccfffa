"""Makes prompts.json, which core/src/text/clean.rs compares with: prompts as the released code cleans
them (ftfy.fix_text, html.unescape twice, white space to one space).

    pip install ftfy==6.3.1
    python core/tests/text/prompts.py

`cases` are written by hand. `left` are wrong decodings that the program does not undo and ftfy does:
expected is what ftfy gives with fix_encoding=False. `further` are prompts that ftfy leaves half
repaired and the program does not. `sample` are sentences of many languages, some of them decoded
wrongly. More of them, to measure the agreement: python core/tests/text/prompts.py SEED COUNT FILE
"""

import html
import json
import random
import re
import sys
from pathlib import Path

import ftfy

CASES = """
naïve café|5 µm|£5|10 €|20 °C|½ cup of crème brûlée|3×4 m²|©2024 Acme™ ®|São Paulo|Ã|São Ã|São à
Â|â|â â|Î|une pâte à tarte brûlée, âgée, dégât|Ærøskøbing|ÆRØSKØBING|Øl på Åse|ÅÄÖ åäö|größer, süß, Straße
GRÖßE|¿Qué pasa? ¡Hola! El niño sueña|NIÑO, AÑO, CAÑÓN|l’été à l’École|ÇA VA|COMMENT ÇA VA?|MÃE|IRMÃ|MAÇÃ
CÔTÉ – ÉTÉ…|É…|«É»|“À table”|CAFÉ™|À “x”|NOËL’S|«Ã»|ŽIŽKA|ŠKODA “Žižka”|Ω π ≈ 3,14|№5 • §3 ¶
zażółć gęślą jaźń, Łódź|příliš žluťoučký kůň|árvíztűrő tükörfúrógép|güneş ışığı İstanbul|một cô gái đang chạy
рыжая лиса бежит по снегу|μια κοπέλα τρέχει|ילדה רצה בשדה|فتاة تركض في حقل|एक लड़की दौड़ रही है|หญิงสาววิ่ง
一只红色的狐狸跑过雪地，背景透明。|赤いキツネが雪原を走る。透明な背景|빨간 여우가 눈 덮인 들판을 달린다|лиса und 狐狸 et café
😀 🎉 👍🏽 🇫🇷 👩‍🚀 ❤️|it's 5'10" – "ok"|‘single’ ‚low‘ ‛x’ „low“ ‟x” ʼn|‹x› «x» 「引用」《书》
！？ＡＢｃ１２～|ﾊﾝｶｸ ｶﾞ ﾊﾟ ﾃｽﾄ|￥￦￡|ﾡﾢ|Ａ　Ｂ|ﬀ ﬁ ﬂ ﬃ ﬄ ﬅ ﬆ|Ĳsland ĳs ŉ Ǆ ǅ ǆ Ǉ ǈ ǉ Ǌ ǋ ǌ Ǳ ǲ ǳ|℡ ㎏ ① ﷽|æ œ Æ Œ ß
fish &amp; chips|&lt;b&gt; &amp;lt;|a &amp;amp;amp;amp; b|a<b &amp;amp;amp;amp; b|P&EACUTE;REZ &eacute; &Eacute|AT&T; R&D
&#128512; &#x1F600; &#128; &#0; &#xD800;|&bogus; &notit; &ampamp; &semi; &#59; &bne;|&NBSP;x &COPY; &frac12;|&Atilde;&copy;
<b>&Atilde;&copy;|5 &lt; 6 &gt; 4|&|&;|&#;|a && b; c|&hearts;&hearts|&abcdefghijklmnopqrstuvwxyz;
""".strip("\n").replace("\n", "|").split("|") + [
    "\ufeffbom",
    "a\ufeffb\u200bc\u00add",
    "hello\0x\x07\x7f",
    "one\r\ntwo\rthree\u2028four\u2029five\x0csix\x0bseven",
    "\x1b[38;5;1mx\x1b[0m \x1b[2",
    "caf\x1a\xe9",
    "\x85 a\x85b",
    "it\x92s \x93x\x94 \x80 10 \x96",
    "\x81\x8d\x8f\x90\x9d",
    "e\u0301 a\u030a \u212b \u304b\u3099 n\u0303\u0303",
    "\u206aa\ufff9b\ufffcc",
    "a\u2003b\u3000c\u00a0d\u1680e",
    "x\n&amp;amp;amp;amp;<\n&amp;amp;amp;amp;",
    "first cafÃ©\nsecond café\nthird cafÃ©\n",
]

# As they are meant; every one is taken as it is after UTF-8 was read as windows-1252, as latin-1,
# and as both twice.
MEANT = """
naïve café|l’humanité|“quoted” it’s – a — b…|schön größer|¿Qué? ¡Niño!|coração São|für 5 € £5|20 °C ½ µm
Łódź zażółć|příliš kůň|ışığı şehir|một cô gái|лиса бежит|κοπέλα τρέχει|ילדה רצה|فتاة تركض|एक लड़की|หญิงสาว
红色的狐狸，背景透明。|赤いキツネが走る|빨간 여우가 달린다|😀 🎉|👩‍🚀 ❤️ 👍🏽|✔ No problems|™ © ® • → ≥|Škoda Žižka|à la carte|voilà
""".strip("\n").replace("\n", "|").split("|")

BROKEN = """
Ã©té|naïve â€” x|é Ã³|Ã³ é|Ã±a y Ã‘A|itâ€™s 日本|cafÃ© 日本 café|日本 ÃƒÂ© Ã©|itÃ¢â‚¬â„¢s 日本|ðŸ˜€ 日本 😀|лиса Ð»Ð¸ÑÐ° naÃ¯ve
voilÃ  le travail|voilÃ le travail|voilÃ  日本|Ã  la carte|Ã la carte|Ã  quelle heure|Ã quilo|Ã s vezes|cafÃ© Ã Paris
Â£5|10Â °C|a Â b|5Â µm|â€œquoteâ€�|â€œquoteâ€ 日|Ã�|ã� 日|cafÃ? x|cafÃ© Ã? x|â€œhiâ€?|itâ€?s|QuÃ©? Ã‰?|Ã© à? x|cafÃ© 日 â€�|â?? x cafÃ©|ï»¿bom|â€|donâ€t|â€™|Ã|Â|Ã¤ Ã¶ Ã¼ ÃŸ ÄŸ
Å koda|DvoÅ™Ã¡k Å koda|pÃ¥|PÃ…|Ã¥|gÃ¥rden pÃ¥ Ã¸l|ÅŸehir|gÃ¼neÅŸ|Ä°stanbul|Ä‘ang|á»™t|â„¢ 日|“Ã©”|“Ã©日”|’Ã©日|©Ã©|a «Ã©» b|ÃƒÆ’Ã‚Â©
Ã¢â‚¬Å“xÃ¢â‚¬Â\x9d|â\x80\x99s|Ã\xa0|Ã\xa0 la|&Atilde;&copy;t&Atilde;&copy;|sch\xc3\xb6n|\xe2\x80\x94|Å\x81Ã³dÅº|CAFÃ‰|BEYONCÃ‰|voilÃ\xa0â€¦
""".strip("\n").replace("\n", "|").split("|")


def misread(text, encoding="windows-1252"):
    """UTF-8 read as that encoding; bytes that it leaves open are read as latin-1."""
    decoded = []
    for byte in text.encode():
        try:
            decoded.append(bytes([byte]).decode(encoding))
        except UnicodeDecodeError:
            decoded.append(chr(byte))
    return "".join(decoded)


LEFT = [
    ("windows-1251", misread("Привет, лиса", "windows-1251")),
    ("windows-1250", misread("łódka, zażółw", "windows-1250")),
    ("windows-1253", misread("Δελφοί", "windows-1253")),
    ("windows-1254", misread("привет", "windows-1254")),
    ("windows-1257", misread("Mädchen größer", "windows-1257")),
    ("iso-8859-2", misread("łódka", "iso-8859-2")),
    ("MacRoman", misread("café – l’humanité", "mac-roman")),
    ("cp437", misread("naïve café", "cp437")),
    ("Thai or Kannada, rather than a raised digit", "là¹ dans"),
    ("UTF-8 with surrogates (CESU-8)", "í\xa0½í¸\x80 x"),
]

FURTHER = [
    ("é€\x8fæ˜Ž æ˜ ç”»ã\x81®", "透明 æ˜ 画の"),
    ("ФОН Ð»Ð¸Ñ\x81Ð° медленно; Ñ‚Ð»Ð¾", "ФОН лиса медленно; тло"),
    ("CAFÉ â€” ☀ Â¿!", "CAFÉ — ☀ ¿!"),
]

WORDS = {
    "en": "a red fox runs across the snowy field while camera slowly pans left holding glass of water it's girl's 4K f/1.8 naïve café Beyoncé Brontë jalapeño",
    "fr": "une femme élégante près de la forêt où le château était l'humanité garçon Noël cœur à fenêtre ça être âgé dorée très voilà déjà crème brûlée même île É À",
    "de": "ein Mädchen läuft über die Straße größer schön Tür Öl Äpfel Übung weiß süß natürlich grüne Vögel fließt",
    "es": "el niño corre por la montaña mañana señor corazón dirección ¿Qué pasa? ¡Hola! árbol último pingüino está Ñandú",
    "pt": "São Paulo coração não é uma canção então avó avô pássaro três irmãs à noite maçã MÃE",
    "it": "città è perché così più università caffè là sarà ragazza cammina",
    "da": "Ærøskøbing smørrebrød på gården grøn blå æble øl København Åse får",
    "pl": "zażółć gęślą jaźń dziewczyna idzie przez łąkę Łódź świat źródło są mąż",
    "cs": "příliš žluťoučký kůň dívka běží přes louku řeka černý šťastný Žižka Škoda",
    "hu": "árvíztűrő tükörfúrógép egy lány fut mezőn szép zöld fűben őszi",
    "tr": "çocuk koşuyor güneş ışığı İstanbul şehir ağaç yeşil kırmızı",
    "vi": "một cô gái đang chạy trên cánh đồng tuyết trắng ánh sáng đẹp nước",
    "ru": "рыжая лиса бежит по снежному полю камера медленно фон девушка ёлка",
    "uk": "їжак біжить лісом дівчина прозоре тло Київ ґанок",
    "el": "μια κοπέλα τρέχει στο χιονισμένο πεδίο διαφανές φόντο Αθήνα",
    "he": "ילדה רצה בשדה מושלג רקע שקוף שלום",
    "ar": "فتاة تركض في حقل ثلجي خلفية شفافة",
    "hi": "एक लड़की बर्फीले मैदान में दौड़ रही है",
    "th": "หญิงสาว วิ่ง ข้าม ทุ่งหิมะ",
    "zh": "一只红色的狐狸 跑过雪地 背景透明 镜头缓慢推进 玻璃杯里有水 电影级光照",
    "ja": "赤いキツネが 雪原を走る 透明な背景 カメラがゆっくり ガラスのコップ 映画のような照明",
    "ko": "빨간 여우가 눈 덮인 들판을 달린다 투명한 배경 소녀가 웃는다",
    "emoji": "😀 🎉 ❤️ ✨ 👍🏽 🇫🇷 👩‍🚀 ✔ ☀️ 🔥 🦊",
}
WORDS = {language: words.split() for language, words in WORDS.items()}
SPECIAL = "£5 €10 µm 20°C ½ 3×4 x² ©2024 Acme™ it’s l’eau № • → CAFÉ ÉCOLE À Ã â Î ½” A¹ ¶ “É 5’10” 10Å Ø 5€ voilà… café” é— NOËL™ ¿ 16:9".split()
QUOTES = [("“", "”"), ("‘", "’"), ('"', '"'), ("«", "»"), ("« ", " »"), ("„", "“"), ("(", ")"), ("「", "」")]
BETWEEN = [", ", ". ", " — ", " – ", "… ", "; ", ": ", "! ", " & "] + [" "] * 9


def cleaned(text, **options):
    """The released code's cleaning."""
    text = ftfy.fix_text(text, **options)
    text = html.unescape(html.unescape(text))
    return re.sub(r"\s+", " ", text).strip()


def sentence(draw):
    """Some words of one language or a few, with punctuation."""
    languages = draw.sample(list(WORDS), 1 if draw.random() < 0.75 else 2)
    if draw.random() < 0.3:
        languages.append("en")
    text = ""
    for _ in range(draw.randint(1, 14)):
        word = draw.choice(WORDS[draw.choice(languages)])
        chance = draw.random()
        if chance < 0.06:
            word = draw.choice(SPECIAL)
        elif chance < 0.12:
            word = draw.choice(WORDS["emoji"])
        if draw.random() < 0.08:
            word = word.join(draw.choice(QUOTES))
        if draw.random() < 0.05:
            word = word.upper()
        close = word[-1] >= "\u3000" and draw.random() < 0.6
        text += word + (draw.choice(["", "，"]) if close else draw.choice(BETWEEN))
    return text.rstrip() + draw.choice(["", ".", "!", "…"])


def damaged(text, draw):
    """The text, in two cases of three after a wrong decoding of it or of some words."""
    encoding = draw.choice(["windows-1252", "windows-1252", "latin-1"])
    chance = draw.random()
    if chance < 0.35:
        return text
    if chance < 0.57:
        return misread(text, encoding)
    if chance < 0.70:
        return misread(misread(text, encoding), encoding)
    if chance < 0.75:
        return misread(text, encoding).replace("\xa0", " ")
    if chance < 0.79:
        return re.sub("[\x81\x8d\x8f\x90\x9d]", "\ufffd", misread(text))
    part = draw.choice([0.1, 0.4])
    return " ".join(misread(word) if draw.random() < part else word for word in text.split(" "))


def sample(seed, count):
    """Prompts and what they become."""
    draw = random.Random(seed)
    prompts = [damaged(sentence(draw), draw) for _ in range(count)]
    return [[prompt, cleaned(prompt)] for prompt in prompts]


def written(value):
    """JSON, one row a line; what cannot be seen is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    text = "".join(c if c.isprintable() else "".join(f"\\u{u:04x}" for u in units(c)) for c in text)
    return text.replace("]], ", "]],\n").replace("], [", "],\n[").replace(": [[", ": [\n[") + "\n"


def units(c):
    """The UTF-16 code units of a character."""
    data = c.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


def main():
    if len(sys.argv) == 4:
        rows = {"cases": [], "left": [], "further": [], "sample": sample(int(sys.argv[1]), int(sys.argv[2]))}
        Path(sys.argv[3]).write_text(written(rows), encoding="utf-8")
        return
    wrong = [misread(text) for text in MEANT] + [misread(text, "latin-1") for text in MEANT]
    twice = [misread(misread(text)) for text in MEANT]
    twice += [misread(misread(text, "latin-1"), "latin-1") for text in MEANT]
    cases = list(dict.fromkeys(CASES + BROKEN + wrong + twice))
    left = [prompt for _, prompt in LEFT]
    for prompt in left:
        assert cleaned(prompt) != cleaned(prompt, fix_encoding=False), f"ftfy leaves {prompt}"
    for prompt, expected in FURTHER:
        assert cleaned(prompt) != expected, f"ftfy repairs {prompt}"
    rows = {
        "cases": [[prompt, cleaned(prompt)] for prompt in cases],
        "left": [[prompt, cleaned(prompt, fix_encoding=False)] for prompt in left],
        "further": [list(row) for row in FURTHER],
        "sample": sample(6, 200),
    }
    print({name: len(value) for name, value in rows.items()})
    (Path(__file__).parent / "prompts.json").write_text(written(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
