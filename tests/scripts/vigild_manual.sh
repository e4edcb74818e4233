#!/usr/bin/env bash
# The manual page of vigild names every option that --help names, and no other.
set -euo pipefail

page=$SRC/docs/man/vigild.1
options_of_help=$("$VIGILD" --help | grep -oE -- '--[a-z-]+' | sort -u)
options_of_page=$(sed 's/\\-/-/g' "$page" | grep -oE -- '--[a-z-]+' | sort -u)
diff <(echo "$options_of_help") <(echo "$options_of_page")
