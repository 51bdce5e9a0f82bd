"""The docs site: pages made from executed notebooks, checked, then rendered by Quarto.

`notebooks.py docs` calls `docs`. Everything up to Quarto is Python, and checked without it.
"""
import ast
import copy
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import notebooks
import yaml
from nbformat.v4 import new_markdown_cell, new_output
from notebooks import NBS, PUBLISH, ROOT, SITE, name_of, relink, site_url, sources

BESIDE = notebooks.BUILD / "beside"  # what lies beside Quarto's pages: notebooks, Markdown
QUARTO = "https://quarto.org/docs/get-started/"
# API pages, and the folders or notebooks whose public names they hold
API = {
    "data": ("Data", "Load, check, augment and show images and masks.", ["data", "plotting"]),
    "models": (
        "Models and layers",
        "Architectures, backbones, layers, and the graph of a model.",
        ["models", "layers", "graph/surgery"],
    ),
    "losses_metrics": (
        "Losses and metrics",
        "Losses and metrics for segmentation.",
        ["losses", "metrics"],
    ),
    "training": (
        "Training",
        "Callbacks, training history, resumable training, signals.",
        ["training"],
    ),
    "distillation": (
        "Distillation",
        "Train a small model with a large one.",
        ["distillation"],
    ),
    "compression": (
        "Compression",
        "Pruning, clustering, quantization, and the search over recipes.",
        ["compression", "graph/convert"],
    ),
    "inference": (
        "Prediction",
        "Training by a plan, masks for images, scenes and folders, reports.",
        ["inference", "commands"],
    ),
    "export": ("Export", "ONNX and TensorFlow Lite files.", ["export"]),
}
LINE = {  # under each title
    "en": ("Open in Colab", "Download notebook", "Source"),
    "ru": ("Открыть в Colab", "Скачать блокнот", "Исходный текст"),
}


# --- Notebooks to pages --------------------------------------------------------------------------

def language(md): return "ru" if md.parent.name == "ru" else "en"


def link_line(md):
    """Plain links: a badge would be an image from another host."""
    up = "../" * name_of(md).count("/")
    colab, download, source = LINE[language(md)]
    return (
        f'<p class="page-links"><a href="{notebooks.colab_url(md)}">{colab}</a> · '
        f'<a href="{up}notebooks/{name_of(md)}.ipynb" download>{download}</a> · '
        f'<a href="{notebooks.source_url(md)}">{source}</a></p>'
    )


HTML = "```{=html}\n"


def static_outputs(nb):
    """Outputs that need no scripts of others: what a widget displayed when the notebook ran, and
    HTML as part of the text, for which Quarto would load such scripts."""
    state = nb.metadata.pop("widgets", {})
    state = state.get("application/vnd.jupyter.widget-state+json", {}).get("state", {})

    def shown(model):
        widget = state.get(model.removeprefix("IPY_MODEL_"), {})
        fields, kind = widget.get("state", {}), widget.get("model_name")
        if kind == "OutputModel": return list(fields["outputs"])
        if kind == "ImageModel": mime, value = "image/png", widget["buffers"][0]["data"]
        elif kind == "HTMLModel": mime, value = "text/html", fields["value"]
        else: return [out for child in fields.get("children", ()) for out in shown(child)]
        return [new_output("display_data", {mime: value})] if value else []

    for cell in nb.cells:
        outputs = []
        for out in cell.get("outputs", ()):
            view = out.get("data", {}).get("application/vnd.jupyter.widget-view+json")
            outputs += [nbformat.from_dict(o) for o in shown(view["model_id"])] if view else [out]
        if cell.cell_type == "code": cell.outputs = outputs
        for data in (out.data for out in outputs if "text/html" in out.get("data", {})):
            data["text/markdown"] = f"{HTML}{data.pop('text/html')}\n```"
    return nb


def stage(md, folder, run):
    """The notebook as nbdev gets it, and the one that the page offers to download."""
    nb, lang = notebooks.published(md, run), language(md)
    alone = notebooks.with_images(copy.deepcopy(nb), md)
    markdown = [cell for cell in nb.cells if cell.cell_type == "markdown"]
    for cell in alone.cells:
        if cell.cell_type == "markdown": cell.source = relink(cell.source, md, site_url)
    write(alone, BESIDE / f"notebooks/{name_of(md)}.ipynb")
    for cell in markdown:
        near = lambda p: os.path.relpath(p, md.parent)[:-3] + ".ipynb"
        cell.source = relink(cell.source, md, near)
    markdown[0].source = markdown[0].source.rstrip() + f"\n- lang: {lang}"  # nbdev's front matter
    nb.cells.insert(1, new_markdown_cell(link_line(md), id="links"))
    write(static_outputs(nb), folder / f"{name_of(md)}.ipynb")


def write(nb, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, path)


# --- Docstrings ----------------------------------------------------------------------------------

SECTION = re.compile(r"^(Args|Returns|Raises|Yields):$")
ITEM = re.compile(r"^    ([\w.*]+(?:, [\w.*]+)*): (.*)")
SIGNATURE = re.compile(r"```python\n(.*?)\n```", re.S)


def values_of(shown):
    """The type and default of each argument in the signature that nbdev shows."""
    found = SIGNATURE.search(shown)
    if not found: return {}
    text = re.sub("<.*?>", "...", re.sub("^class ", "def ", found[1]).rstrip(":"))
    args = ast.parse(f"{text}: pass").body[0].args
    names = [*args.posonlyargs, *args.args]
    values = [None] * (len(names) - len(args.defaults)) + args.defaults
    pairs = [*zip(names, values), *zip(args.kwonlyargs, args.kw_defaults)]
    found = {}
    for arg, value in pairs:
        parts = [part for part in (arg.annotation, value) if part]
        parts = [text for text in map(ast.unparse, parts) if text != "NoneType"]
        found[arg.arg] = ", ".join(f"`{part}`" for part in parts)
    return found


def docstring_to_markdown(text):
    """Google's sections as Markdown: arguments as a table, the rest as lists."""
    values, lines, section = values_of(text), [], None
    for line in text.splitlines():
        heading, item = SECTION.match(line), ITEM.match(line)
        if heading:
            section = heading[1]
            lines += ["", f"**{section}**", ""]
            if section == "Args": lines += ["| argument | type, default | |", "|---|---|-------|"]
        elif section and item:
            names = [name.strip() for name in item[1].split(",")]
            code = ", ".join(f"`{name}`" for name in names)
            if section == "Args":
                given = dict.fromkeys(values.get(name.strip("*"), "") for name in names)
                row = code, "; ".join(value for value in given if value), item[2]
                lines.append("| " + " | ".join(map(escaped, row)) + " |")
            else:
                lines.append(f"- {code}: {item[2]}")
        elif section and line.startswith("    "):
            if section == "Args" and lines[-1].endswith(" |"):
                lines[-1] = f"{lines[-1][:-2]} {escaped(line.strip())} |"
            else:
                lines.append(("  " if lines[-1].startswith(("-", "  ")) else "") + line.strip())
        else:
            lines.append(line)
            if line: section = None
    return "\n".join(lines)


def escaped(text): return text.replace("|", r"\|")


# --- Pages of the whole site ---------------------------------------------------------------------

def pages(run=True):
    """Everything that Quarto renders: executed notebooks, links, docstrings, API pages. Gives their
    folder."""
    from nbdev.serve import proc_nbs
    os.chdir(ROOT)
    staged = notebooks.BUILD / "pages"
    for old in staged, BESIDE: shutil.rmtree(old, ignore_errors=True)
    for md in sources(): stage(md, staged, run)
    shutil.copy(ROOT / "_quarto.yml", staged)
    # one process imports them all, and tfmot works on no other
    os.environ.update(notebooks.clean_env(notebooks.BUILD / "home", "tf_keras"))
    # a relative path: nbdev passes over files with a hidden folder anywhere in theirs
    folder = proc_nbs(staged.relative_to(ROOT).as_posix(), force=True, n_workers=2)
    shutil.copytree(NBS / "images", folder / "images")
    shutil.copy(Path(__file__).with_name("site.scss"), folder)
    (folder / "settings.yml").write_text(yaml.safe_dump(settings()), encoding="utf-8")
    for page in sorted(folder.rglob("*.ipynb")): finish(page, folder)
    write_api(folder)
    write_markdown(folder)
    return folder


def settings():
    """What `_quarto.yml` cannot say, since settings.ini does."""
    site = dict(title=PUBLISH["repo"], description=summary_of(NBS / "index.md"))
    site |= {"site-url": SITE, "image": f"{SITE}images/first_screen.png"}
    site |= {"repo-url": notebooks.REPOSITORY, "repo-branch": PUBLISH["branch"]}
    return {"project": {"output-dir": "_docs"}, "website": site}


def finish(page, folder):
    """What nbdev leaves to do: docstrings, links within the site, and the name of the page."""
    nb = nbformat.read(page, as_version=4)
    name = page.relative_to(folder)
    for cell in nb.cells:
        if cell.cell_type == "raw":  # 01_models would become models.html
            cell.source = re.sub("^output-file: .*\n", "", cell.source, flags=re.M)
        if cell.cell_type == "markdown": cell.source = within_site(cell.source, name)
        for out in cell.get("outputs", []) if "show_doc(" in cell.source else []:
            text = docstring_to_markdown(out.data["text/markdown"])
            text = re.sub(r"(\]\([^):#]+)\.md\b", r"\1.ipynb", text)
            out.data["text/markdown"] = within_site(text, name)
    nbformat.write(nb, page)


def within_site(text, name):
    """nbdev links each `name` in backticks by a full address, also within a link, and with an
    anchor though the name is private and has none."""
    text = re.sub(r"\[(\[`[^`]+`\])\([^)]*\)\]\(", r"\1(", text)
    def swap(m):
        anchor = (m[2] or "").partition(".")[0]  # of the class, for a method
        return os.path.relpath(f"{m[1]}.ipynb", name.parent) + anchor * (anchor[:2] != "#_")
    return re.sub(rf"{re.escape(SITE)}([\w/.-]+)\.html(#[\w.-]+)?", swap, text)


def front(page):
    """Title and description of a processed page."""
    if page.suffix == ".qmd": head = page.read_text(encoding="utf-8").split("---\n")[1]
    else: head = nbformat.read(page, as_version=4).cells[0].source.strip().strip("-")
    return yaml.safe_load(head)


def documented(page):
    """(name, Markdown) of each docstring that a processed page shows."""
    for cell in nbformat.read(page, as_version=4).cells:
        for name in re.findall(r"^show_doc\(([\w.]+)", cell.source, re.M):
            yield name, cell.outputs[0].data["text/markdown"]


def public_names():
    """{name: notebook}, from the tables of the two public modules."""
    found = {}
    for door in "keras_utils.md", "tfmot_utils.md":
        text = (NBS / door).read_text(encoding="utf-8")
        for names, target in re.findall(r"^\| (`.*?) \| \[.*?\]\((.*?)\.md\)", text, re.M):
            for name in re.findall(r"`(\w+)`", names): found.setdefault(name, target)
    return found


def write_api(folder):
    """A page for each section: docstrings of its public names, links to their notebooks."""
    (folder / "api").mkdir()
    names = public_names()
    for section, (title, summary, rooms) in API.items():
        head = yaml.safe_dump(dict(title=f"{title}: API", description=summary), width=1000)
        parts = [f"---\n{head}---"]
        for home in dict.fromkeys(names.values()):
            if home not in rooms and home.split("/")[0] not in rooms: continue
            parts.append(f"From [{front(folder / f'{home}.ipynb')['title']}](../{home}.ipynb):")
            for name, text in documented(folder / f"{home}.ipynb"):
                if names.get(name.split(".")[0]) == home: parts.append(moved(text, home, "api"))
        (folder / f"api/{section}.qmd").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def moved(text, home, room):
    """A docstring of one notebook on a page in another folder: its links are relative."""
    def swap(m): return m[1] + os.path.relpath(Path(home).parent / m[2], room)
    return re.sub(r"(\]\()([^):#]+\.ipynb)", swap, text.removeprefix("---\n"))


# --- Markdown pages and llms.txt ------------------------------------------------------------------

def as_markdown(page):
    """A page as plain Markdown: prose, code, docstrings, and what cells printed."""
    if page.suffix == ".qmd": return page.read_text(encoding="utf-8").split("---\n", 2)[2]
    parts = []
    for cell in nbformat.read(page, as_version=4).cells:
        shown = "show_doc(" in cell.source
        if cell.cell_type == "markdown": parts.append(cell.source)
        if cell.cell_type == "code" and not shown: parts.append(f"```python\n{cell.source}\n```")
        for out in cell.get("outputs", ()):
            data = out.get("data", {})
            text = out.get("text") or data.get("text/plain", "")
            shown = data.get("text/markdown", "")
            if shown and not shown.startswith(HTML): parts.append(shown)
            elif text and "image/png" not in data: parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts)


def write_markdown(folder):
    """`page.html.md` beside each `page.html`, and llms.txt, which lists them."""
    listed = [f"# {PUBLISH['repo']}\n", f"> {summary_of(NBS / 'index.md')}"]
    for section, page in navigation():
        path, about = folder / page, front(folder / page)
        text = f"# {about['title']}\n\n> {about['description']}\n\n{as_markdown(path)}\n"
        text = re.sub(r"<p class=.page-links.*?</p>\n*|<!--.*?-->\n*", "", text)
        target = BESIDE / Path(page).with_suffix(".html.md")
        target.parent.mkdir(parents=True, exist_ok=True)
        text = re.sub(r"(\]\([^):#]+)\.(?:ipynb|qmd)", r"\1.html.md", text)
        target.write_text(text, encoding="utf-8")
        if f"\n## {section}\n" not in listed: listed.append(f"\n## {section}\n")
        url = SITE + Path(page).with_suffix(".html.md").as_posix()
        listed.append(f"- [{about['title']}]({url}): {about['description']}")
    (BESIDE / "llms.txt").write_text("\n".join(listed) + "\n", encoding="utf-8")


def navigation():
    """(section, page) of each page in the sidebar of `_quarto.yml`, in order."""
    def walk(items, section):
        for item in items:
            if isinstance(item, str): yield section, item
            elif "contents" in item: yield from walk(item["contents"], section or item["section"])
            else: yield section, item["href"]
    site = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))["website"]
    return [(section or "Home", page) for section, page in walk(site["sidebar"]["contents"], None)]


def summary_of(md):
    """The `> summary` under a notebook's title."""
    return re.search(r"^> (.+)", md.read_text(encoding="utf-8"), re.M)[1]


# --- Checks, without Quarto ----------------------------------------------------------------------

def anchors(text):
    """What links to the headings of a page may name, as Quarto makes them."""
    headings = re.findall(r"^#+ (.+)", text, re.M)
    explicit = re.findall(r"\{#([\w.-]+)", text)
    plain = [re.sub(r"\{.*?\}|\[|\]\(.*?\)", "", heading).strip().lower() for heading in headings]
    return set(explicit) | {
        re.sub(r"^[^a-zа-яё]+", "", re.sub(r"[^\w .-]", "", heading).replace(" ", "-"))
        for heading in plain
    }


LOADED = re.compile(  # with the page, from another host
    r"""!\[[^\]]*\]\((?:https?:)?//[^)]*|"""
    r"""<(?:img|script|link|iframe)\b[^>]*(?:src|href)=["']?(?:https?:)?//[^>]*"""
)


def problems(folder):
    """What is wrong with the pages: navigation, links, anchors, images, directives, other hosts."""
    pages = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*.ipynb")}
    pages |= {p.relative_to(folder).as_posix(): p for p in folder.rglob("*.qmd")}
    texts = {name: as_markdown(path) for name, path in pages.items()}
    listed = [page for _, page in navigation()]
    found = [f"_quarto.yml does not list {page} once" for page in pages if listed.count(page) != 1]
    found += [f"_quarto.yml lists {page}: no such page" for page in listed if page not in pages]
    for name, text in texts.items():
        about, prose = front(pages[name]), without_code(text)
        wrong = [f"no {key}" for key in ("title", "description") if not about.get(key)]
        wrong += [f"link to {target}" for target in dead_links(folder, name, prose, texts)]
        wrong += re.findall(r"\[\[`[^`]*`\]\(.*?\)", prose)  # a link within a link
        wrong += re.findall(r"^#\| .*", text, re.M)  # nbdev's directives
        wrong += [f"loads {m[0]}" for m in LOADED.finditer(prose + html_in(pages[name]))]
        found += [f"{name}: {what}" for what in wrong]
    return found


def without_code(text): return re.sub(r"^([`~]{3,}).*?^\1", "", text, flags=re.M | re.S)


def dead_links(folder, name, prose, texts):
    """Links of a page that lead to no page, heading, image, or notebook to be downloaded."""
    links = re.findall(r"\]\(([^)\s:#]*)(?:#([^)\s]*))?\)", prose)
    links += [(target, "") for target in re.findall(r'href="([^":#]+)"', prose)]
    for target, anchor in links:
        path = os.path.normpath(Path(name).parent / target) if target else name
        if path in texts: dead = anchor and anchor not in anchors(texts[path])
        else: dead = not (folder / path).is_file() and not (BESIDE / path).is_file()
        if dead: yield f"{target}#{anchor}" if anchor else target


def html_in(page):
    """The HTML that cells of a page show."""
    cells = nbformat.read(page, as_version=4).cells if page.suffix == ".ipynb" else []
    outputs = [out.get("data", {}) for cell in cells for out in cell.get("outputs", ())]
    return "\n".join(data.get("text/html", data.get("text/markdown", "")) for data in outputs)


# --- Quarto --------------------------------------------------------------------------------------

def docs():
    folder = pages()
    if wrong := problems(folder): sys.exit("\n".join(wrong))
    if not shutil.which("quarto"):
        made = folder.relative_to(ROOT)
        sys.exit(f"{made}/ holds the pages; to render them install Quarto 1.7 or newer: {QUARTO}")
    # pages link to these; Markdown comes later, since Quarto removes files named page.html.md
    shutil.copytree(BESIDE / "notebooks", folder / "notebooks")
    subprocess.run(["quarto", "render", str(folder), "--no-execute"], check=True)
    shutil.copytree(BESIDE, folder / "_docs", dirs_exist_ok=True)
    shutil.rmtree(ROOT / "_docs", ignore_errors=True)
    shutil.move(folder / "_docs", ROOT / "_docs")
    print("_docs/index.html")
