$(phplibdir)/larder.so: FORCE
	cd $(top_srcdir)/.. && PHP=$(PHP_EXECUTABLE) PHP_CONFIG=$(PHP_CONFIG) CARGO_TARGET_DIR=$(top_builddir)/target $(CARGO) build --release --locked -p larder-php
	@mkdir -p $(phplibdir)
	cp $(top_builddir)/target/release/liblarder_php.so $@

FORCE:
