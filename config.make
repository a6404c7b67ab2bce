# What config adds to nginx's Makefile. Cargo knows whether there is anything to do; it builds below objs, not here.

sparkngin_objs=$(cd $NGX_OBJS && pwd)
# As nginx's auto/install completes it, later on.
case $NGX_MODULES_PATH in
/*) sparkngin_to=$NGX_MODULES_PATH ;;
*) sparkngin_to=$NGX_PREFIX/$NGX_MODULES_PATH ;;
esac

cat << END                                                    >> $NGX_MAKEFILE

.PHONY:	sparkngin_module sparkngin_install

modules:	sparkngin_module

sparkngin_module:
	cd $(cd $ngx_addon_dir && pwd) && \\
	NGINX_SOURCE_DIR=$(pwd) NGINX_BUILD_DIR=$sparkngin_objs \\
	CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$sparkngin_objs/sparkngin} \\
	${CARGO:-cargo} build --locked --release --package sparkngin
	cp ${CARGO_TARGET_DIR:-$sparkngin_objs/sparkngin}/release/libngx_http_sparkngin_module.so \\
		$sparkngin_objs/ngx_http_sparkngin_module.so.new
	mv $sparkngin_objs/ngx_http_sparkngin_module.so.new $sparkngin_objs/ngx_http_sparkngin_module.so

install:	sparkngin_install

sparkngin_install:	sparkngin_module
	test -d '\$(DESTDIR)$sparkngin_to' || mkdir -p '\$(DESTDIR)$sparkngin_to'
	test ! -f '\$(DESTDIR)$sparkngin_to/ngx_http_sparkngin_module.so' \\
		|| mv '\$(DESTDIR)$sparkngin_to/ngx_http_sparkngin_module.so' \\
			'\$(DESTDIR)$sparkngin_to/ngx_http_sparkngin_module.so.old'
	cp $sparkngin_objs/ngx_http_sparkngin_module.so '\$(DESTDIR)$sparkngin_to/ngx_http_sparkngin_module.so'

END
