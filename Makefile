# Everything but Chromium is installed in .venv beside this file. After the install no target needs the network.
PYTHON ?= python3
TORCH ?= torch==2.13.0
PY = .venv/bin/python
STAMP = .venv/installed
# A worker that hangs is ended (pyproject.toml says when); to start it again would mean to hang again.
PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --max-worker-restart=0

export HF_HUB_OFFLINE = 1
export TRANSFORMERS_OFFLINE = 1

PROMPTS = \
	"fox above rocket on green" \
	"big red apple on blue" \
	"cat left of umbrella on pink" \
	"sailboat in sea" \
	"sketch of owl on white" \
	"pixel art of house in meadow" \
	"silhouette of bicycle on orange" \
	"penguin at right in snow"

.PHONY: help venv lab demo browser lint test quick checks notebooks slides site wheel bounds clean

help: ## list the targets
	@awk -F ': .*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

venv: $(STAMP) ## make .venv and install everything in it

# torch goes first and alone: left to a wider requirement, pip may pick a build of several GB.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "minidiff needs Python 3.11 or newer; got $(PYTHON): $$($(PYTHON) --version 2>&1 | tail -n 1)" >&2; \
		echo "Name another one: make $(or $(MAKECMDGOALS),venv) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PY) -m pip install $(TORCH)
	$(PY) -m pip install -c constraints.txt -e ".[lab,test,site]"
	@touch $@

# With settings of its own: a widget is saved with its notebook, so that it is there without a kernel; no news.
lab: $(STAMP) ## open JupyterLab on the first lesson
	$(PY) -m jupyterlab --ServerApp.root_dir="$(CURDIR)" notebooks/00_start_here.ipynb \
		--LabApp.app_settings_dir="$(CURDIR)/tools/jupyterlab" \
		$(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_ARGS)

demo: $(STAMP) ## draw a grid of eight prompts to demo.png
	@$(PY) -m minidiff $(PROMPTS) --out demo.png

browser: ## install Chromium, in which make test opens lessons, slides and site: Debian, as root
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && grep -qs '^ID=debian' /etc/os-release; then export DEBIAN_FRONTEND=noninteractive; \
		apt-get update && apt-get install --yes --no-install-recommends chromium fonts-liberation \
		|| echo "Chromium cannot be installed: the tests that need it are skipped."; \
	else echo "No chromium here: Chrome, or what python -m playwright install chromium installs, does as well."; \
		echo "Without any of them the tests that need it are skipped."; fi

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

# A file of tests, as a notebook, is one worker's; in the order of tests/conftest.py, not by how many tests there are.
test: export MINIDIFF_SCALE = test
test: lint browser ## lint, then run every test and every notebook at test scale
	$(PYTEST) --dist loadfile --no-loadscope-reorder

quick: export MINIDIFF_SCALE = test
quick: lint ## lint, then run what is fast: no notebook, no browser
	$(PYTEST) --dist worksteal tests -m "not slow"

checks: $(STAMP) ## try all that is known to be right or wrong on the checks of exercises that changed
	$(PY) tools/checks.py
	$(PY) tools/alternatives.py

notebooks: export MINIDIFF_SCALE = laptop
notebooks: $(STAMP) ## run lessons and solutions whose code changed, at laptop scale; make the exercises
	$(PY) tools/notebooks.py; status=$$?; $(PY) tools/family.py && exit $$status

slides: $(STAMP) ## write slides of every lesson to build/slides, or of some: LESSON="03 07"
	$(PY) tools/slides.py $(LESSON)

wheel: $(STAMP) ## build dist/minidiff-*.whl, weights inside, to install without the repository
	$(PY) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

bounds: ## install the lowest and the newest allowed versions elsewhere, and run the fast tests with each
	TORCH="$(TORCH)" $(PYTHON) tools/bounds.py

site: $(STAMP) ## write the lessons and the package reference as web pages to build/site
	rm -rf build/site
	$(PY) -m sphinx -W --keep-going -q -c docs . build/site

clean: ## remove .venv, caches and demo.png
	rm -rf .venv .pytest_cache .ruff_cache build dist demo.png
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
