#!/usr/bin/env bash
# Is the installed tree what an outside program needs?
# ctest: TIMEOUT=120
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

fail() {
    echo "package: $*" >&2
    exit 1
}

run_consumer() {
    local said
    said=$(LD_LIBRARY_PATH=$prefix/$LIBDIR "$1") || fail "$1 failed"
    [[ $said == "$VERSION" ]] || fail "$1 says version '$said', not '$VERSION'"
    echo "ok: $1"
}

"$CMAKE" --install "$BUILD" --prefix "$prefix" >"$work/install.log"

# 1. The tree can be moved: no path of the build or of the first place is left in what a build reads.
moved=$work/moved
mv "$prefix" "$moved"
prefix=$moved
if grep -rIl -e "$BUILD" -e "$work/prefix" -e "$SRC" "$prefix"; then
    fail "the files above hold absolute paths"
fi

# 2. The libraries export vigil_… and nothing else.
foreign=$(nm -D --defined-only "$prefix/$LIBDIR/libvigil.so" | awk '$3 !~ /^vigil_/ {print $3}')
[[ -z $foreign ]] || fail "libvigil.so exports $foreign"

foreign=$(nm -g --defined-only "$prefix/$LIBDIR/libvigil.a" | awk 'NF == 3 && $3 !~ /^vigil_/ {print $3}')
[[ -z $foreign ]] || fail "libvigil.a exports $foreign"

# 3. find_package.
"$CMAKE" -S "$SRC/tests/package/consumer" -B "$work/build" -G Ninja \
    -DCMAKE_C_COMPILER="$CC" -DCMAKE_PREFIX_PATH="$prefix" >"$work/configure.log" 2>&1 ||
    { cat "$work/configure.log" >&2 && fail "find_package(Vigil) failed"; }
"$CMAKE" --build "$work/build" >"$work/build.log" 2>&1 ||
    { cat "$work/build.log" >&2 && fail "building through find_package failed"; }
run_consumer "$work/build/consumer"
run_consumer "$work/build/consumer_static"

# 4. pkg-config, shared and static; the system's own pkg-config files are still needed for ZeroMQ.
export PKG_CONFIG_PATH=$prefix/$LIBDIR/pkgconfig
[[ $(pkg-config --modversion vigil) == "$VERSION" ]] || fail "vigil.pc has another version"
read -ra flags <<<"$(pkg-config --cflags --libs vigil)"
consumer=$SRC/tests/package/consumer/consumer.c
"$CC" -std=c11 -Wall -Wextra -pedantic -Werror "$consumer" "${flags[@]}" -o "$work/through_pkg_config"
run_consumer "$work/through_pkg_config"

# 5. The header stands alone, in C and in C++.
read -ra cflags <<<"$(pkg-config --cflags vigil)"
echo '#include <vigil.h>' >"$work/header.c"
"$CC" -std=c11 -Wall -Wextra -pedantic -Werror "${cflags[@]}" -fsyntax-only "$work/header.c"
if command -v c++ >/dev/null; then
    c++ -std=c++11 -x c++ -Wall -Wextra -pedantic -Werror "${cflags[@]}" -fsyntax-only "$work/header.c"
fi

# 6. The examples build from outside.
for example in "$SRC"/docs/examples/*.c; do
    [[ -f $example ]] || continue
    "$CC" -std=c11 -Wall -Wextra -Werror "$example" "${flags[@]}" \
        -o "$work/$(basename "$example" .c)" || fail "cannot build $example"
    echo "ok: $example builds"
done

# 7. Each program that was installed answers.
for program in "$prefix"/bin/*; do
    [[ -f $program ]] || continue
    "$program" --version >/dev/null || fail "$program --version failed"
    "$program" --help >/dev/null || fail "$program --help failed"
done
