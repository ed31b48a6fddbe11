# shellcheck shell=bash
# Shared by the scripts that load pages: serves the copy of a Moodle site with four FPM workers. Expects what common.sh expects.

PATH=$PATH:/usr/sbin
fpm=$(compgen -c php-fpm | sort -u | head -1) || true
[ -n "$fpm" ] || fail "php-fpm is missing: apt-get install php-fpm."
command -v nginx >/dev/null || fail "nginx is missing: apt-get install nginx-light."

free_port() { php -r '$s = stream_socket_server("tcp://127.0.0.1:0"); echo explode(":", stream_socket_get_name($s, false))[1];'; }

stop_site() {
    local file pid tries
    for file in "$work/nginx.pid" "$work/fpm.pid"; do
        [ -s "$file" ] || continue
        pid=$(cat "$file")
        kill "$pid" 2>/dev/null || continue
        for ((tries = 0; tries < 100; tries++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
    done
}

# start_site SERVER [SERVER]: the store under test on the first server for all requests, on the second for those with the
# header X-Beside; SETTINGS is more code for config.php. Sets port and token.
start_site() {
    local settings hash
    port=$(free_port)
    token=$(php -r 'echo bin2hex(random_bytes(16));')
    mkdir "$work"/{cache,localcache,temp,sessions,muc}
    settings="
\$CFG->wwwroot = 'http://127.0.0.1:$port';
\$CFG->sslproxy = false;
\$CFG->reverseproxy = false;
\$CFG->cachedir = '$work/cache';
\$CFG->localcachedir = '$work/localcache';
\$CFG->tempdir = '$work/temp';
\$CFG->session_handler_class = '\\\\core\\\\session\\\\file';
\$CFG->session_file_save_path = '$work/sessions';
\$CFG->altcacheconfigpath = '$work/muc/' . (isset(\$_SERVER['HTTP_X_BESIDE']) ? 'beside' : 'config') . '.php';
\$CFG->larder_test_token = '$token';
${SETTINGS:-}
unset(\$CFG->dirroot);"
    change_config "$settings"
    hash=$(php "$here/lib/map_store.php" "$tree" "$store" "$1" "${MODES:-application}") || fail "the store could not be mapped: $hash"
    if [ -n "${2:-}" ]; then
        HTTP_X_BESIDE=1 OPTIONS='' php "$here/lib/map_store.php" "$tree" "$store" "$2" "${MODES:-application}" >/dev/null ||
            fail "the second store could not be mapped."
    fi
    # The plugin is in the tree but not in the site's database, which is left as it is: no page may ask for an upgrade.
    change_config "$settings
\$CFG->allversionshash = '$hash';"
    serve
}

# serve: starts the servers at $port; the site's config.php must be ready.
serve() {
    local user asroot=()
    cp "$here/lib/site_page.php" "$public/larder_test.php"
    user=$(id -un)
    cat >"$work/fpm.conf" <<END
[global]
error_log = $work/fpm.log
[www]
$([ "$user" != root ] || printf 'user = root\ngroup = root\n')
listen = $work/fpm.sock
pm = static
pm.max_children = 4
clear_env = no
catch_workers_output = yes
php_admin_flag[log_errors] = on
php_admin_value[error_log] = $work/php.log
END
    cat >"$work/nginx.conf" <<END
$([ "$user" != root ] || echo 'user root;')
worker_processes 1;
pid $work/nginx.pid;
error_log $work/nginx.log;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path $work/body;
    fastcgi_temp_path $work/fastcgi;
    proxy_temp_path $work/proxy;
    uwsgi_temp_path $work/uwsgi;
    scgi_temp_path $work/scgi;
    server {
        listen 127.0.0.1:$port;
        root $public;
        index index.php;
        location ~ [^/]\.php(/|$) {
            fastcgi_split_path_info ^(.+\.php)(/.+)$;
            include /etc/nginx/fastcgi_params;
            fastcgi_param PATH_INFO \$fastcgi_path_info;
            fastcgi_param SCRIPT_FILENAME \$document_root\$fastcgi_script_name;
            fastcgi_read_timeout 300;
            fastcgi_buffers 16 64k;
            fastcgi_pass unix:$work/fpm.sock;
        }
    }
}
END
    rm -f "$work/calls"
    [ "$user" != root ] || asroot=(-R)
    "$fpm" "${asroot[@]}" -y "$work/fpm.conf" -g "$work/fpm.pid" || { cat "$work/fpm.log"; fail "php-fpm did not start."; }
    nginx -c "$work/nginx.conf" -e "$work/nginx.log" || fail "nginx did not start."
}
