# make demo       train a first model, on shapes that it draws (about 3 minutes on 2 CPU cores); look into demo/
# make demo DATA=folder IGNORE=255 NUM_CLASSES=4 BACKBONE=ResNet50 EPOCHS=20
#                 the same on a folder with {train,val}/{inp,out}/, or {inp,out}/; only DATA is needed:
#                   IGNORE       value of pixels without a label       (found from the masks)
#                   NUM_CLASSES  1 is one foreground class             (found from the masks)
#                   BACKBONE     a model of Keras Applications         (chosen)
#                   EPOCHS       how long to train                     (chosen)
# make quick NB=training/warmup   one notebook, with nothing set; without NB, what your change touches
# make test       every notebook and every test (about 20 minutes)
# make test-all   the same with whole trainings, the slow cells, all names of Keras, and the benchmarks (hours)
# make docs       the site, in _docs/: everything up to Quarto, checked, then Quarto
# make readme-image   README's image, from the quickstart in nbs/index.md (about 5 minutes)
# make bench      the benchmarks; their outputs are kept in git for the site (hours)
# make colab | clean
# make test-colab     the notebooks of `make colab` in environments like Colab's (about an hour); NB=name for one
# make dist           sdist and wheel of the last commit in dist/, installed and tried; TAG=v0.1.0 must fit the version
# make publish-colab  push what `make colab` wrote, as the only commit of its branch; REMOTE=origin

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
NEED_PYTHON = test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python"; exit 1; }
VENV := .venv
RUN := $(VENV)/bin/python
SOURCES := $(shell find nbs -name '*.md' -not -path '*/.*')

export TAG REMOTE

.PHONY: demo quick test test-all docs readme-image colab test-colab bench build clean dist publish-colab
.DEFAULT_GOAL := build

build: dl_utils/_modidx.py README.md

demo: build
	@$(RUN) -m dl_utils train $(if $(DATA),"$(DATA)") --out demo --restart $(if $(IGNORE),--ignore-index=$(IGNORE)) \
		$(if $(NUM_CLASSES),--num-classes $(NUM_CLASSES)) $(if $(BACKBONE),--backbone $(BACKBONE)) \
		$(if $(EPOCHS),--epochs $(EPOCHS))

quick: build
	@$(RUN) tools/notebooks.py quick $(NB)

test: build
	@$(RUN) -m pytest -n 2 -m "not slow"

test-all: build
	@FLAGS=slow $(RUN) -m pytest -n 2

docs readme-image colab: build
	@$(RUN) tools/notebooks.py $@

test-colab: build
	@$(RUN) tools/notebooks.py $@ $(NB)

bench: build  # the peers, PyTorch among them: several GB
	@$(RUN) -m pip install --disable-pip-version-check -e '.[bench]'
	@$(RUN) tools/notebooks.py bench

# Everything that is made from the notebooks; a missing package or a newer source makes it anew.
dl_utils/_modidx.py: $(SOURCES) $(sort $(dir $(SOURCES))) tools/notebooks.py pyproject.toml settings.ini $(VENV)/.installed
	@echo "building dl_utils/ and README.md from nbs/"
	@$(RUN) tools/notebooks.py build
	@touch $@

README.md: dl_utils/_modidx.py
	@test -f $@ || $(RUN) tools/notebooks.py build

$(VENV)/.installed: pyproject.toml
	@$(NEED_PYTHON)
	@test -x $(RUN) || { echo "making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing dl_utils and its tools into $(VENV) (about 3.1 GB; once)"
	@mkdir -p dl_utils && touch dl_utils/__init__.py  # an editable install maps only a package that is there
	@$(RUN) -m pip install --disable-pip-version-check -e '.[dev]'
	@touch $@

# These two need no $(VENV): they take what is committed, and what `make colab` left.
dist:
	@$(NEED_PYTHON)
	@$(PYTHON) tools/publish.py dist

publish-colab:
	@$(NEED_PYTHON)
	@$(PYTHON) tools/publish.py colab

clean:
	@$(if $(PYTHON),$(PYTHON),python3) tools/notebooks.py clean
