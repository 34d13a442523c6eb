#!/bin/sh
# A Chromium for the browser tests: the system's if there is one, otherwise Playwright's, otherwise Debian's when root.
python="$1"
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null 2>&1 && exit 0
done
"$python" -m playwright install chromium && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  apt-get update -qq && apt-get install -y -qq chromium && exit 0
fi
echo "No Chromium found and none could be installed; install one and run this again." >&2
exit 1
