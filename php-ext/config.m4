dnl For PIE and phpize: `phpize && ./configure && make && make install`. Cargo does the work.

PHP_ARG_ENABLE([larder], [whether to enable Larder],
  [AS_HELP_STRING([--enable-larder], [Enable Larder])], [yes])

if test "$PHP_LARDER" != "no"; then
  AC_PATH_PROG([CARGO], [cargo], [no])
  if test "$CARGO" = "no"; then
    AC_MSG_ERROR([cargo is missing: install Rust, see rust-version in php-ext/Cargo.toml (Debian: rustc-web and cargo-web)])
  fi
  if test "$PHP_THREAD_SAFETY" = "yes"; then
    AC_MSG_ERROR([Larder does not support a thread-safe (ZTS) PHP: use an NTS build])
  fi
  PHP_SUBST([CARGO])
  PHP_SUBST([PHP_CONFIG])
  PHP_ADD_BUILD_DIR([modules])
  PHP_ADD_MAKEFILE_FRAGMENT([$abs_srcdir/Makefile.frag])
  PHP_MODULES="$PHP_MODULES \$(phplibdir)/larder.so"
fi
