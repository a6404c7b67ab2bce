#!/bin/bash
# The whole way on one machine: nginx, the subscriber, and a Kafka: yours, or an embedded one. Ctrl-C ends it cleanly;
# what Kafka does not have yet stays in the ring below run/, and goes on the next time.
#
#   tools/run.sh PORT LIVE_PORT [HOST:PORT]       (make run PORT=... LIVE_PORT=... KAFKA=...)
#
# From the environment: RUN_DIR, an absolute path in place of run/, and MOCK_PORT for the embedded Kafka.
set -uo pipefail
cd "$(dirname "$0")/.."
port=$1 live=$2 kafka=${3:-} mock_port=${MOCK_PORT:-9092}
root=$PWD run=${RUN_DIR:-$PWD/run}
mkdir -p "$run/logs" "$run/tmp"
exec 9>"$run/lock"
if ! flock -n 9; then
    echo "$run is in use by another make run: end that one, or choose another directory with RUN_DIR=..." >&2
    exit 2
fi

say() { printf '%s\n' "$*"; }
pause() { read -rt "$1" <> <(:) || :; } # seconds

nginx=$(command -v nginx || echo /usr/sbin/nginx)
# `make` sees to that; where it was unpacked nobody has.
lacking=$(
    [ -x "$nginx" ] || echo nginx
    command -v curl >/dev/null || echo curl
    ldd build/sparkngin build/ngx_http_sparkngin_module.so | sed -n 's/^\s*\(\S*\) => not found$/\1/p' | sort -u
)
if [ -n "$lacking" ]; then
    say "missing: ${lacking//$'\n'/, }; install it first (Debian: apt-get install nginx curl libzmq5 libssl3)" >&2
    exit 2
fi
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
free() { # port, the variable that chooses it
    if ! [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] || [ "$1" -gt 65535 ]; then
        say "$2=$1 is no port: it must be 1 to 65535" >&2
        exit 2
    fi
    taken "$1" || return 0
    say "port $1 on 127.0.0.1 is taken by another program; choose another one: make run $2=$(($1 + 1))" >&2
    exit 2
}
free "$port" PORT
free "$live" LIVE_PORT
[ -n "$kafka" ] || free "$mock_port" MOCK_PORT
if [ "$port" = "$live" ] || [ -z "$kafka" -a "$mock_port" = "$port" ] || [ -z "$kafka" -a "$mock_port" = "$live" ]; then
    say "PORT=$port, LIVE_PORT=$live and MOCK_PORT=$mock_port must differ" >&2
    exit 2
fi

# A unix socket's path must fit into 107 bytes, and a clone may lie deep.
ring=$run/ring feed=$ring/feed.sock short=
if [ ${#feed} -gt 100 ]; then
    short=$(mktemp -d /tmp/sparkngin-XXXXXX)
    feed=$short/feed.sock
fi

user=
[ "$(id -u)" != 0 ] || user="user root;"
cat >"$run/nginx.conf" <<CONF
$user
daemon off;
worker_processes 2;
load_module "$root/build/ngx_http_sparkngin_module.so";
pid "$run/nginx.pid";
error_log "$run/logs/error.log" notice;
events { worker_connections 1024; }
http {
    access_log off;
    # As large as the largest event, so that none goes through a temporary file.
    client_body_buffer_size 32k;
    client_body_temp_path "$run/tmp/body";
    proxy_temp_path "$run/tmp/proxy";
    fastcgi_temp_path "$run/tmp/fastcgi";
    uwsgi_temp_path "$run/tmp/uwsgi";
    scgi_temp_path "$run/tmp/scgi";

    sparkngin_listen 127.0.0.1:$live "feed=unix:$feed";
    sparkngin_buf_path "$ring";
    sparkngin_buf_size 64m;
    sparkngin_subscriber kafka;
    sparkngin_format json;
    # What live shows and what is stored of a request's headers: no cookies, they are people's keys to other places.
    sparkngin_fields %time_stamp% %ip% %level% %topic% %type% %env% %user-agent% %referrer% %data%;

    server {
        listen 127.0.0.1:$port;
        location /sn/ { sparkngin_root_loc; }
    }
}
CONF
if ! test_out=$("$nginx" -t -q -p "$run" -c "$run/nginx.conf" 2>&1); then
    say "$test_out" >&2
    exit 2
fi

# Each child in a session of its own: Ctrl-C reaches this script alone, which ends them in order.
start() { # name, log or "-" for the terminal, command
    local name=$1 log=$2
    shift 2
    if [ "$log" = - ]; then
        setsid setpriv --pdeathsig TERM "$@" </dev/null 9>&- &
    else
        setsid setpriv --pdeathsig TERM "$@" </dev/null >>"$log" 2>&1 9>&- &
    fi
    printf -v "pid_$name" %s $!
}
ended() { [ -z "${1:-}" ] || ! kill -0 "$1" 2>/dev/null; }
finish() { # signal, pid
    [ -n "${2:-}" ] || return 0
    kill -"$1" "$2" 2>/dev/null
    wait "$2" 2>/dev/null
}
pid_kafka='' pid_nginx='' pid_subscriber='' leaving=
leave() {
    [ -z "$leaving" ] || return 0
    leaving=1
    trap '' INT TERM HUP
    say ""
    say "stopping: what Kafka does not have yet stays in $run/ring"
    # The subscriber first: nginx must still be there to note what it acknowledges last.
    finish TERM "$pid_subscriber"
    finish QUIT "$pid_nginx"
    finish TERM "$pid_kafka"
    [ -z "$short" ] || rm -rf "$short"
    build/sparkngin ring status "$ring" 2>/dev/null | sed -n 1,12p
    exit "${1:-0}"
}
trap 'leave 0' INT TERM HUP

if [ -z "$kafka" ]; then
    kafka=127.0.0.1:$mock_port
    start_kafka() { start kafka "$run/logs/kafka.log" build/sparkngin mock-kafka --port "$mock_port"; }
    start_kafka
    say "Kafka: embedded on $kafka, in memory only, it forgets beyond 5 MB a partition (yours: make run KAFKA=host:port)"
else
    say "Kafka: $kafka"
fi
start_nginx() { start nginx "$run/logs/error.log" "$nginx" -p "$run" -c "$run/nginx.conf"; }
start_nginx
out=$run/logs/subscriber.log
[ -t 2 ] && out=-

poll_until() { # seconds, command
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        ! ended "$pid_nginx" || return 1
        pause 0.1
    done
}
healthy() { [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/sn/imok")" = 200 ]; }
if ! poll_until 20 healthy; then
    say "nginx does not answer; $run/logs/error.log says:" >&2
    tail -n 5 "$run/logs/error.log" >&2
    leave 1
fi

cat <<TEXT
nginx: http://127.0.0.1:$port/sn/ (two workers), live on tcp://127.0.0.1:$live, ring in $ring, logs in $run/logs

send an event:     curl -i 'http://127.0.0.1:$port/sn/log?topic=clicks&level=info&data=hello'
see it in Kafka:   kcat -q -b $kafka -C -t clicks -o beginning -e
see events live:   build/sparkngin tail tcp://127.0.0.1:$live
the books:         curl -s http://127.0.0.1:$port/sn/status
then kill things:  kill -9 a worker, nginx ($pid_nginx), the subscriber; reload (kill -HUP $pid_nginx); Ctrl-C here ends it all

TEXT
start_subscriber() {
    start subscriber "$out" build/sparkngin subscribe --feed "ipc://$feed" --kafka "$kafka" --create-topics --http off
}
start_subscriber

# Whatever is killed is started again, unless it ends by itself at once, or says that its configuration is wrong.
known='' restarts=0 last=$SECONDS
again() { # name, how it ended
    [ $((SECONDS - last)) -lt 10 ] || restarts=0
    last=$SECONDS restarts=$((restarts + 1))
    if [ "$2" = 2 ] || [ "$2" = 3 ] || [ $restarts -gt 5 ]; then
        say "$1 ended with status $2:" >&2
        case $1 in
        nginx) tail -n 3 "$run/logs/error.log" >&2 ;;
        *) tail -n 3 "$run/logs/$1.log" >&2 2>/dev/null ;;
        esac
        leave 1
    fi
    say "$1 was ended (status $2): starting it again"
    # A master that was killed leaves its workers, and they the port.
    if [ "$1" = nginx ]; then
        local worker end=$((SECONDS + 5))
        for worker in $known; do kill -QUIT "$worker" 2>/dev/null; done
        for worker in $known; do
            while grep -q '^nginx' "/proc/$worker/cmdline" 2>/dev/null; do
                # It waits for its clients, who may stay for ever.
                [ $SECONDS -lt $end ] || kill -TERM "$worker" 2>/dev/null
                pause 0.1
            done
        done
    fi
    "start_$1"
}

# Without a terminal a line of progress now and then, here from the books; on one the subscriber shows its own.
was=
while :; do
    workers=$(cat "/proc/$pid_nginx/task/$pid_nginx/children" 2>/dev/null) && [ -n "$workers" ] && known=$workers
    for name in nginx subscriber kafka; do
        pid=pid_$name
        [ -n "${!pid}" ] && ended "${!pid}" || continue
        wait "${!pid}"
        again "$name" $?
    done
    if [ "$out" != - ]; then
        now=$(curl -s "http://127.0.0.1:$port/sn/status" | sed 's/.*"subscribers"//' |
            grep -oE '"(committed|in_kafka|in_ring|lost)":[0-9]+' | tr -d '"' | tr '\n' ' ')
        [ "$now" = "$was" ] || say "$now"
        was=$now
    fi
    pause 1
done
