#!/usr/bin/perl
# Every directive: what it takes, and the exact words that refuse all else. Each refusal stands beside a twin that
# differs in nothing else and is accepted.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sparkngin;
use Test::More;

my $t = Sparkngin->new(program => 0);
$t->{expected} = qr/\[emerg\]/;    # they are what is tested

# [place, refused, its error without file and line, accepted]
# A place is http, server or location (a location with sparkngin_root_loc).
my $sub = 'sparkngin_subscriber kafka;';
my $number = 'invalid number of arguments in "%s" directive';
my $context = '"%s" directive is not allowed here';
my $duplicate = '"%s" directive is duplicate';
my $open = '"%s" needs "sparkngin_curve_key" or "insecure": who reaches the port can read every event';
my $unlocked = '"%s" needs "key=" in "sparkngin_subscriber %s", or "insecure": who reaches the port can acknowledge its events';
my $no_key = '"%s" holds no key, it must be a line of 40 characters as "sparkngin keygen" writes it, in "%s" directive';
my $dir = $t->dir;
# Any 40 characters of Z85 are a key to who only reads it; libzmq has its own opinion when it is used.
my ($one, $two) = ('HelloWorld' x 4, 'WorldHello' x 4);
$t->write_file('server.key', "$one\n", 0600);
$t->write_file('open.key', "$one\n", 0640);
$t->write_file($_->[0], $_->[1], 0644) for ['a.pub', "$one\n"], ['a2.pub', $one], ['b.pub', "$two\n"], ['two.pub', "$one\n$two\n"], ['short.pub', substr("$one\n", 1)], ['empty.pub', ''];
$t->write_file('short.key', substr("$one\n", 1), 0600);
my $curve = 'sparkngin_curve_key server.key;';
my $over_tcp = 'sparkngin_listen 7001 feed=127.0.0.1:7002';
my $address = 'invalid value "%s" in "sparkngin_listen" directive, it must be "port", "address:port", "unix:path" or "off"';
my $topic = 'invalid value "%s" in "sparkngin_topic" directive, it must be 1 to 249 of a-z A-Z 0-9 . _ -, '
    . 'not "." or "..", and not start with "__"';
my $alone = '"sparkngin_root_loc" must be the only directive of its location that answers requests, without "proxy_pass" or one like it';
my $nobody = '"%s" needs a "sparkngin_subscriber": without one nobody ever acknowledges an event';

my @rows = (
    [http => 'sparkngin_listen;', sprintf($number, 'sparkngin_listen'), 'sparkngin_listen 7001;'],
    [http => 'sparkngin_listen 1 2 3 4 5;', sprintf($number, 'sparkngin_listen'), "sparkngin_listen 1 feed=unix:/tmp/f insecure readers=a.pub; $curve"],
    [http => 'sparkngin_listen 7001; sparkngin_listen 7002;', sprintf($duplicate, 'sparkngin_listen'), 'sparkngin_listen 7002;'],
    [server => 'sparkngin_listen 7001;', sprintf($context, 'sparkngin_listen'), ''],
    [location => 'sparkngin_listen 7001;', sprintf($context, 'sparkngin_listen'), ''],
    [http => 'sparkngin_listen 0;', sprintf($address, '0'), 'sparkngin_listen 1;'],
    [http => 'sparkngin_listen 65536;', sprintf($address, '65536'), 'sparkngin_listen 65535;'],
    [http => 'sparkngin_listen 70a1;', sprintf($address, '70a1'), 'sparkngin_listen 7001;'],
    [http => 'sparkngin_listen "";', sprintf($address, ''), 'sparkngin_listen "7001";'],
    [http => 'sparkngin_listen 127.0.0.1;', sprintf($address, '127.0.0.1'), 'sparkngin_listen 127.0.0.1:7001;'],
    [http => 'sparkngin_listen 127.0.0.1:;', sprintf($address, '127.0.0.1:'), 'sparkngin_listen 127.0.0.1:1;'],
    [http => 'sparkngin_listen 127.0.0.256:1;', sprintf($address, '127.0.0.256:1'), 'sparkngin_listen 127.0.0.255:1;'],
    [http => 'sparkngin_listen somewhere:7001;', sprintf($address, 'somewhere:7001'), 'sparkngin_listen localhost:7001;'],
    [http => 'sparkngin_listen ::1:7001;', sprintf($address, '::1:7001'), 'sparkngin_listen [::1]:7001;'],
    [http => 'sparkngin_listen unix:;', sprintf($address, 'unix:'), 'sparkngin_listen unix:live.sock;'],
    [http => 'sparkngin_listen unix:/' . 'x' x 107 . ';', qr/^invalid value "\/x{63}\.\.\." in "sparkngin_listen" directive, it must be a path of at most 107 bytes of UTF-8, as sockets need$/,
        'sparkngin_listen unix:/' . 'x' x 106 . ';'],
    [http => 'sparkngin_listen *:7001;', sprintf($open, 'sparkngin_listen *:7001'), 'sparkngin_listen *:7001 insecure;'],
    [http => 'sparkngin_listen 0.0.0.0:7001;', sprintf($open, 'sparkngin_listen 0.0.0.0:7001'), 'sparkngin_listen 0.0.0.0:7001 insecure;'],
    [http => 'sparkngin_listen [::]:7001;', sprintf($open, 'sparkngin_listen [::]:7001'), 'sparkngin_listen [::]:7001 insecure;'],
    [http => 'sparkngin_listen 192.0.2.1:7001;', sprintf($open, 'sparkngin_listen 192.0.2.1:7001'), 'sparkngin_listen 192.0.2.1:7001 insecure;'],
    [http => 'sparkngin_listen 7001 secure;', 'invalid parameter "secure" in "sparkngin_listen" directive, it must be "feed=", "readers=" or "insecure"',
        'sparkngin_listen 7001 insecure;'],
    (map { [http => "sparkngin_listen $_;", sprintf($open, "sparkngin_listen $_"), "$curve sparkngin_listen $_;"] } '*:7001', '0.0.0.0:7001', '[::]:7001', '192.0.2.1:7001'),
    [http => 'sparkngin_listen 7001 feed=x;', 'invalid value "x" in "sparkngin_listen" directive, it must be "feed=address:port" or "feed=unix:path"',
        'sparkngin_listen 7001 feed=unix:x;'],
    [http => 'sparkngin_listen 7001 feed=7002;', 'invalid value "7002" in "sparkngin_listen" directive, it must be "feed=address:port" or "feed=unix:path"',
        'sparkngin_listen 7001 feed=127.0.0.1:7002;'],
    [http => 'sparkngin_listen 7001 feed=unix:x feed=unix:y;', 'duplicate parameter "feed=" in "sparkngin_listen" directive',
        'sparkngin_listen 7001 feed=unix:y;'],
    [http => 'sparkngin_listen 7001 feed=127.0.0.1:7001;', 'the feed must be elsewhere than live in "sparkngin_listen 7001 feed=127.0.0.1:7001"', "$over_tcp;"],
    [http => 'sparkngin_listen off insecure;', 'invalid parameter "insecure" in "sparkngin_listen" directive, it must be nothing behind "off"', "sparkngin_listen off; $sub"],
    (map { my ($name) = /^(\w+)/; [http => "$sub sparkngin_listen off; $_;", qq("sparkngin_listen off" leaves "$name" to "sparkngin publish", it must not stand here), "$sub sparkngin_listen 7001; $_;"] }
        'sparkngin_overflow reject', 'sparkngin_format json', 'sparkngin_gzip off', 'sparkngin_curve_key server.key'),
    [http => 'sparkngin_listen off; sparkngin_subscriber a key=a.pub;', '"sparkngin_listen off" leaves "key=" to "sparkngin publish", it must not stand here', 'sparkngin_listen off; sparkngin_subscriber a; sparkngin_fields %data%;'],
    [http => "$over_tcp; $sub", sprintf($unlocked, $over_tcp, 'kafka'), "$over_tcp insecure; $sub"],
    [http => "$sub $over_tcp;", sprintf($unlocked, $over_tcp, 'kafka'), "$curve sparkngin_subscriber kafka key=a.pub; $over_tcp;"],
    [http => "$curve $over_tcp; sparkngin_subscriber a key=a.pub; sparkngin_subscriber b;", sprintf($unlocked, $over_tcp, 'b'),
        "$curve $over_tcp; sparkngin_subscriber a key=a.pub; sparkngin_subscriber b key=b.pub;"],
    [http => "$curve sparkngin_listen *:7001 feed=*:7002; $sub", sprintf($unlocked, 'sparkngin_listen *:7001 feed=*:7002', 'kafka'),
        "$curve sparkngin_listen *:7001 feed=*:7002 insecure; $sub"],
    [http => 'sparkngin_listen 7001 readers=a.pub;', '"readers=" in "sparkngin_listen 7001 readers=a.pub" needs "sparkngin_curve_key"', "$curve sparkngin_listen 7001 readers=a.pub;"],
    [http => 'sparkngin_listen 7001 insecure readers=a.pub;', '"readers=" in "sparkngin_listen 7001 insecure readers=a.pub" needs "sparkngin_curve_key"', "$curve sparkngin_listen 7001 insecure readers=two.pub;"],
    [http => "$curve sparkngin_listen 7001 readers=none.pub;", qq(open() "$dir/none.pub" failed (2: No such file or directory), in "sparkngin_listen" directive), "$curve sparkngin_listen 7001 readers=two.pub;"],
    [http => "$curve sparkngin_listen 7001 readers=empty.pub;", sprintf($no_key, "$dir/empty.pub", 'sparkngin_listen'), "$curve sparkngin_listen 7001 readers=two.pub;"],

    [http => 'sparkngin_buf_size 4x;', 'invalid value "4x" in "sparkngin_buf_size" directive, it must be a size like "512k", "4m" or "1g"',
        'sparkngin_buf_size 4m;'],
    [http => 'sparkngin_buf_size 1t;', 'invalid value "1t" in "sparkngin_buf_size" directive, it must be a size like "512k", "4m" or "1g"',
        'sparkngin_buf_size 1g;'],
    [http => 'sparkngin_buf_size 0;', 'invalid value "0" in "sparkngin_buf_size" directive, it must be a size like "512k", "4m" or "1g"',
        'sparkngin_buf_size 8m;'],
    [http => 'sparkngin_buf_size 4m 4m;', sprintf($number, 'sparkngin_buf_size'), 'sparkngin_buf_size 4m;'],
    [http => 'sparkngin_buf_size 4m; sparkngin_buf_size 4m;', sprintf($duplicate, 'sparkngin_buf_size'), 'sparkngin_buf_size 4m;'],
    [server => 'sparkngin_buf_size 4m;', sprintf($context, 'sparkngin_buf_size'), ''],
    [http => 'sparkngin_buf_size 511k;',
        '"sparkngin_buf_size 511k" is too small for 2 worker processes, it must be 512k or more: 4 blocks of 64k for each',
        'sparkngin_buf_size 512k;'],
    [http => 'sparkngin_buf_size 1m; sparkngin_max_event 100k;',
        '"sparkngin_buf_size 1m" is too small for 2 worker processes, it must be 2m or more: 4 blocks of 256k for each',
        'sparkngin_buf_size 2m; sparkngin_max_event 100k;'],

    [http => 'sparkngin_buf_path "";', 'invalid value "" in "sparkngin_buf_path" directive, it must be a directory',
        'sparkngin_buf_path ring;'],
    [http => 'sparkngin_buf_path /' . 'y' x 97 . ';', qr/^invalid value "\/y{63}\.\.\." in "sparkngin_buf_path" directive, it must be a directory whose "feed\.sock" is a path of at most 107 bytes of UTF-8, or "sparkngin_listen" must have "feed="$/,
        'sparkngin_buf_path %%DIR%%/y/;'],
    [http => 'sparkngin_buf_path %%DIR%%/' . 'y' x 97 . ';', qr/^invalid value ".*it must be a directory whose "feed\.sock" is a path/,
        'sparkngin_buf_path %%DIR%%/' . 'y' x 97 . '; sparkngin_listen 7001 feed=unix:feed.sock;'],
    [http => 'sparkngin_buf_path a; sparkngin_buf_path b;', sprintf($duplicate, 'sparkngin_buf_path'), 'sparkngin_buf_path b;'],
    [server => 'sparkngin_buf_path a;', sprintf($context, 'sparkngin_buf_path'), ''],

    [http => 'sparkngin_overflow drop;', 'invalid value "drop" in "sparkngin_overflow" directive, it must be "overwrite" or "reject"',
        'sparkngin_overflow overwrite;'],
    [http => 'sparkngin_overflow reject;', '"sparkngin_overflow reject" needs a "sparkngin_subscriber": without one nothing ever frees a block',
        "sparkngin_overflow reject; $sub"],
    [http => "$sub sparkngin_overflow reject; sparkngin_overflow reject;", sprintf($duplicate, 'sparkngin_overflow'), "$sub sparkngin_overflow reject;"],
    [location => 'sparkngin_overflow overwrite;', sprintf($context, 'sparkngin_overflow'), ''],

    [http => 'sparkngin_subscriber;', sprintf($number, 'sparkngin_subscriber'), $sub],
    [http => 'sparkngin_subscriber "a b";', 'invalid value "a b" in "sparkngin_subscriber" directive, it must be 1 to 63 letters, digits, ".", "_" or "-"',
        'sparkngin_subscriber a.b_c-9;'],
    [http => 'sparkngin_subscriber ' . 'n' x 64 . ';', 'invalid value "' . 'n' x 64 . '" in "sparkngin_subscriber" directive, it must be 1 to 63 letters, digits, ".", "_" or "-"',
        'sparkngin_subscriber ' . 'n' x 63 . ';'],
    [http => 'sparkngin_subscriber a key=a.pub;', '"sparkngin_subscriber a key=a.pub" needs "sparkngin_curve_key"', "$curve sparkngin_subscriber a key=a.pub;"],
    [http => "$curve sparkngin_subscriber a key=;", 'invalid value "" in "sparkngin_subscriber" directive, it must be a file with a key', "$curve sparkngin_subscriber a key=$dir/a.pub;"],
    [http => "$curve sparkngin_subscriber a key=none.pub;", qq(open() "$dir/none.pub" failed (2: No such file or directory), in "sparkngin_subscriber" directive), "$curve sparkngin_subscriber a key=a2.pub;"],
    (map { [http => "$curve sparkngin_subscriber a key=$_;", sprintf($no_key, "$dir/$_", 'sparkngin_subscriber'), "$curve sparkngin_subscriber a key=a.pub;"] } qw(short.pub two.pub empty.pub)),
    [http => "$curve sparkngin_subscriber a key=a.pub; sparkngin_subscriber b key=a2.pub;",
        'the key in "sparkngin_subscriber b key=a2.pub" is that of "a", each subscriber must have one of its own',
        "$curve sparkngin_subscriber a key=a.pub; sparkngin_subscriber b key=b.pub;"],
    [http => 'sparkngin_subscriber a b;', 'invalid parameter "b" in "sparkngin_subscriber" directive, it must be "key="', 'sparkngin_subscriber a; sparkngin_subscriber b;'],
    [http => 'sparkngin_subscriber a; sparkngin_subscriber a;', 'duplicate subscriber "a"', 'sparkngin_subscriber a; sparkngin_subscriber A;'],
    [http => join(' ', map "sparkngin_subscriber s$_;", 1 .. 5), 'too many "sparkngin_subscriber" directives, there must be 4 at most',
        join(' ', map "sparkngin_subscriber s$_;", 1 .. 4)],
    [server => $sub, sprintf($context, 'sparkngin_subscriber'), ''],

    (map { my $place = $_; (
        [$place => 'sparkngin_ack disk max=ring;', 'invalid value "ring" in "sparkngin_ack" directive, it must be "max=disk" or "max=kafka"', 'sparkngin_ack disk max=disk;'],
        [$place => 'sparkngin_ack kafka timeout=1s;', sprintf($nobody, 'sparkngin_ack kafka timeout=1s'), 'sparkngin_ack ring timeout=1s;'],
        [$place => 'sparkngin_ack kafka max=disk;', 'invalid value "disk" in "sparkngin_ack" directive, it must be "max=kafka"', 'sparkngin_ack ring max=disk;'],
        [$place => 'sparkngin_ack ring max=tape;', 'invalid value "tape" in "sparkngin_ack" directive, it must be "max=ring", "max=disk" or "max=kafka"', 'sparkngin_ack ring timeout=5s max=ring;'],
        [$place => 'sparkngin_ack ring max=ring max=ring;', 'duplicate parameter "max=" in "sparkngin_ack" directive', 'sparkngin_ack ring max=ring;'],
        [$place => 'sparkngin_ack ring timeout=1s timeout=2s;', 'duplicate parameter "timeout=" in "sparkngin_ack" directive', 'sparkngin_ack ring timeout=2s;'],
        [$place => 'sparkngin_ack tape;', 'invalid value "tape" in "sparkngin_ack" directive, it must be "ring", "disk" or "kafka"', 'sparkngin_ack ring;'],
        [$place => 'sparkngin_ack ring timeout=soon;', 'invalid value "soon" in "sparkngin_ack" directive, it must be a time like "100ms" or "5s"', 'sparkngin_ack ring timeout=100ms;'],
        [$place => 'sparkngin_ack ring after=5s;', 'invalid parameter "after=5s" in "sparkngin_ack" directive, it must be "timeout=" or "max="', 'sparkngin_ack ring timeout=5s;'],
        [$place => 'sparkngin_ack ring; sparkngin_ack ring;', sprintf($duplicate, 'sparkngin_ack'), 'sparkngin_ack ring;'],

        [$place => 'sparkngin_topic;', sprintf($number, 'sparkngin_topic'), 'sparkngin_topic a;'],
        [$place => 'sparkngin_topic "a b";', sprintf($topic, 'a b'), 'sparkngin_topic a-b;'],
        [$place => 'sparkngin_topic "";', sprintf($topic, ''), 'sparkngin_topic a;'],
        [$place => 'sparkngin_topic ..;', sprintf($topic, '..'), 'sparkngin_topic ...;'],
        [$place => 'sparkngin_topic __a;', sprintf($topic, '__a'), 'sparkngin_topic _a;'],
        [$place => 'sparkngin_topic $nothing_of_this_name;', 'no file and line: unknown "nothing_of_this_name" variable', 'sparkngin_topic web-$server_name;'],
        [$place => 'sparkngin_topic a; sparkngin_topic a;', sprintf($duplicate, 'sparkngin_topic'), 'sparkngin_topic a;'],

        [$place => 'sparkngin_receipt yes;', 'invalid value "yes" in "sparkngin_receipt" directive, it must be "on" or "off"', 'sparkngin_receipt on;'],
        [$place => 'sparkngin_receipt on off;', sprintf($number, 'sparkngin_receipt'), 'sparkngin_receipt off;'],
        [$place => 'sparkngin_receipt on; sparkngin_receipt on;', sprintf($duplicate, 'sparkngin_receipt'), 'sparkngin_receipt on;'],

        [$place => 'sparkngin_max_event -1;', 'invalid value "-1" in "sparkngin_max_event" directive, it must be a size like "512k", "4m" or "1g"', 'sparkngin_max_event 128;'],
        [$place => 'sparkngin_max_event 127;', 'invalid value "127" in "sparkngin_max_event" directive, it must be 128 or more: an event has a time, an address and a topic at least', 'sparkngin_max_event 128;'],
        [$place => 'sparkngin_max_event 2097153;', 'invalid value "2097153" in "sparkngin_max_event" directive, it must be 2m or less: an event has to fit twice into a block, and blocks have 4m at most', 'sparkngin_max_event 2m;'],
        [$place => 'sparkngin_limits batch=0;', 'invalid value "0" in "sparkngin_limits" directive, it must be a number from 1 to 1000000', 'sparkngin_limits batch=1;'],
        [$place => 'sparkngin_limits name=256;', 'invalid value "256" in "sparkngin_limits" directive, it must be a number from 1 to 255', 'sparkngin_limits name=255;'],
        [$place => 'sparkngin_limits depth=129 body=1m;', 'invalid value "129" in "sparkngin_limits" directive, it must be a number from 1 to 128', 'sparkngin_limits depth=128 body=1m;'],
        [$place => 'sparkngin_limits value=x;', 'invalid value "x" in "sparkngin_limits" directive, it must be a size like "512k", "4m" or "1g"', 'sparkngin_limits value=1k;'],
        [$place => 'sparkngin_limits batches=5;', 'invalid parameter "batches=5" in "sparkngin_limits" directive, it must be "batch=", "body=", "fields=", "name=", "value=", "depth=" or "ratio="', 'sparkngin_limits batch=5 ratio=2;'],
        [$place => 'sparkngin_limits batch=5 batch=6;', 'duplicate parameter "batch=" in "sparkngin_limits" directive', 'sparkngin_limits batch=5 fields=6;'],
        [$place => 'sparkngin_max_event 1k; sparkngin_max_event 1k;', sprintf($duplicate, 'sparkngin_max_event'), 'sparkngin_max_event 1k;'],
    ) } qw(http server location)),

    # These may stand anywhere, which is shown by the first of each.
    (map { my $place = $_; map { [$place => "$_;", sprintf($number, /^(\w+)/), "$_ " . (/field/ ? 'x x;' : /privacy/ ? 'off;' : /cors/ ? '*;' : 'x;')] }
        qw(sparkngin_topics sparkngin_field sparkngin_access sparkngin_privacy sparkngin_cors) } qw(http location)),
    [server => 'sparkngin_topics;', sprintf($number, 'sparkngin_topics'), 'sparkngin_topics a;'],
    [server => 'sparkngin_topics "a b";', 'invalid value "a b" in "sparkngin_topics" directive, it must be the name of a topic or "~regex"', 'sparkngin_topics a b;'],
    [server => 'sparkngin_topics a ~;', 'invalid value "~" in "sparkngin_topics" directive, it must be "~" and a regex of UTF-8', 'sparkngin_topics a ~b;'],
    [server => 'sparkngin_topics "~a(";', 'invalid value "~a(" in "sparkngin_topics" directive, it must be a regex: unclosed group', 'sparkngin_topics "~a()";'],
    [server => 'sparkngin_topics "~a{1000}{1000}{9}";', qr/^invalid value "~a\{1000\}\{1000\}\{9\}" in "sparkngin_topics" directive, it must be a regex: .*size limit/i, 'sparkngin_topics "~a{100}";'],
    [server => 'sparkngin_topics a; sparkngin_topics b;', sprintf($duplicate, 'sparkngin_topics'), 'sparkngin_topics a b;'],
    [server => 'sparkngin_topics ~b.*; sparkngin_access a;', 'the topic in "sparkngin_access a" must be one of "sparkngin_topics"', 'sparkngin_topics ~b.*; sparkngin_access bb;'],
    [server => 'sparkngin_topics b; sparkngin_topic a;', 'the topic in "sparkngin_topic a" must be one of "sparkngin_topics"', 'sparkngin_topics b; sparkngin_topic b;'],

    [server => 'sparkngin_field a;', sprintf($number, 'sparkngin_field'), 'sparkngin_field a $host;'],
    (map { [server => "sparkngin_field $_ x;", qq(invalid value "$_" in "sparkngin_field" directive, it must be a field that the server may set, not an address, a time, the topic or the data), "sparkngin_field x$_ x;"] }
        qw(ip topic data data_base64 sg time_stamp timestamp)),
    [server => 'sparkngin_field a $host type=text;', 'invalid parameter "type=text" in "sparkngin_field" directive, it must be "type=string", "type=number" or "type=json"', 'sparkngin_field a $host type=json;'],
    [server => 'sparkngin_field a $nothing_of_this_name;', 'no file and line: unknown "nothing_of_this_name" variable', 'sparkngin_field a $server_name;'],
    [server => 'sparkngin_field a $host; sparkngin_field a $uri;', 'duplicate field "a" in "sparkngin_field a $uri"', 'sparkngin_field a $host; sparkngin_field b $uri;'],
    [server => join(' ', map "sparkngin_field a$_ x;", 1 .. 65), 'too many "sparkngin_field" directives, there must be 64 at most', join(' ', map "sparkngin_field a$_ x;", 1 .. 64)],

    [server => 'sparkngin_access;', sprintf($number, 'sparkngin_access'), 'sparkngin_access a;'],
    [server => 'sparkngin_access "a b";', 'invalid value "a b" in "sparkngin_access" directive, it must be 1 to 249 of a-z A-Z 0-9 . _ -, not "." or "..", and not start with "__"', 'sparkngin_access $host;'],
    [server => 'sparkngin_access a $host;', 'invalid parameter "$host" in "sparkngin_access" directive, it must be "if=" and a condition', 'sparkngin_access a if=$host;'],
    [server => 'sparkngin_access a; sparkngin_access off;', sprintf($duplicate, 'sparkngin_access'), 'sparkngin_access off;'],

    [server => 'sparkngin_privacy all;', 'invalid parameter "all" in "sparkngin_privacy" directive, it must be "off", "dnt", "gpc", "ip=mask", "ip=none" or "cookies="', 'sparkngin_privacy dnt gpc ip=mask cookies=;'],
    (map { [server => "sparkngin_$_;", qq("off" in "sparkngin_$_" must stand alone), 'sparkngin_' . (/^(\w+)/)[0] . ' off;'] }
        'privacy off dnt', 'privacy dnt off', 'privacy off off', 'access off if=1', 'cors * off', 'topics a off', 'topics off a'),
    (map { my ($words, $twice) = @$_; my ($name) = $words =~ /^(\w+)/; my $once = $words =~ s/ \S+$//r; [server => "sparkngin_$words;", qq(duplicate parameter "$twice" in "sparkngin_$name" directive), "sparkngin_$once;"] }
        ['privacy dnt dnt', 'dnt'], ['privacy ip=mask ip=none', 'ip='], ['privacy gpc cookies=a cookies=a', 'cookies='], ['topics a ~b=.* a', 'a'], ['topics ~a=b ~a=c ~a=b', '~a=b'],
        ['cors https://a https://a', 'https://a'], ['cors * *', '*'], ['cors https://a credentials credentials', 'credentials'], ['cors * max_age=1 max_age=2', 'max_age='],
        ['ack ring timeout=1s timeout=2s', 'timeout='], ['ack ring max=disk max=disk', 'max='], ['limits fields=1 fields=2', 'fields=']),
    [http => 'sparkngin_listen 7001 insecure insecure;', 'duplicate parameter "insecure" in "sparkngin_listen" directive', 'sparkngin_listen 7001 insecure;'],
    [server => 'sparkngin_privacy cookies=a,b,a;', 'duplicate cookie "a" in "sparkngin_privacy cookies=a,b,a"', 'sparkngin_privacy cookies=a,b;'],
    [server => 'sparkngin_privacy ip=mask; sparkngin_field a $binary_remote_addr;', '"sparkngin_field" with $binary_remote_addr would store an address that "ip=" in "sparkngin_privacy" cannot mask', 'sparkngin_privacy dnt; sparkngin_field a $binary_remote_addr;'],
    [server => 'sparkngin_privacy dnt; sparkngin_privacy gpc;', sprintf($duplicate, 'sparkngin_privacy'), 'sparkngin_privacy dnt gpc ip=none;'],
    [server => 'sparkngin_privacy cookies=a; sparkngin_field s $cookie_b;', '"sparkngin_field" with $cookie_b would store a cookie that "cookies=" in "sparkngin_privacy" does not list', 'sparkngin_privacy cookies=a,b; sparkngin_field s $cookie_b;'],
    [server => 'sparkngin_privacy cookies=Ab; sparkngin_field s $Cookie_B;', '"sparkngin_field" with $cookie_b would store a cookie that "cookies=" in "sparkngin_privacy" does not list', 'sparkngin_privacy cookies=Ab; sparkngin_field s $Cookie_aB;'],
    [server => 'sparkngin_privacy cookies=a; sparkngin_field s "x${http_cookie}";', '"sparkngin_field" with $http_cookie would store a cookie that "cookies=" in "sparkngin_privacy" does not list', 'sparkngin_privacy dnt; sparkngin_field s "x${http_cookie}";'],

    (map { [server => "sparkngin_cors $_;", qq(invalid value "$_" in "sparkngin_cors" directive, it must be "*", an origin like "https://www.example.org", or "~regex"), "sparkngin_cors https://$_;"] } 'example.org', 'null'),
    (map { [server => "sparkngin_cors $_;", qq(invalid value "$_" in "sparkngin_cors" directive, it must be "*", an origin like "https://www.example.org", or "~regex"), 'sparkngin_cors http://a:65535 http://[::1]:1 http://[::1] max_age=0;'] }
        'https://a:99999', 'https://a:0', 'https://a:', 'https://:80', 'https://a:b', 'https://a:1:2', 'https://[::g]', 'https://[::1', 'https://::1'),
    [server => 'sparkngin_cors https://a/;', 'invalid value "https://a/" in "sparkngin_cors" directive, it must be "*", an origin like "https://www.example.org", or "~regex"', 'sparkngin_cors https://a:8443 http://b;'],
    [server => 'sparkngin_cors * https://a;', '"*" in "sparkngin_cors * https://a" must be the only origin', 'sparkngin_cors *;'],
    [server => 'sparkngin_cors * credentials;', '"credentials" in "sparkngin_cors * credentials" needs a list of origins in place of "*"', 'sparkngin_cors https://a credentials;'],
    [server => 'sparkngin_cors credentials;', '"sparkngin_cors credentials" names no origin, it must name one at least: "*", an origin like "https://www.example.org", or "~regex"', 'sparkngin_cors ~https://.* credentials;'],
    [server => 'sparkngin_cors * max_age=long;', 'invalid value "long" in "sparkngin_cors" directive, it must be a time like "100ms" or "5s"', 'sparkngin_cors * max_age=1d;'],
    [server => 'sparkngin_cors ~[;', 'invalid value "~[" in "sparkngin_cors" directive, it must be a regex: unclosed character class', 'sparkngin_cors ~[a];'],
    [server => 'sparkngin_cors *; sparkngin_cors off;', sprintf($duplicate, 'sparkngin_cors'), 'sparkngin_cors off;'],

    [http => 'sparkngin_ack kafka;', sprintf($nobody, 'sparkngin_ack kafka'), "sparkngin_ack kafka; $sub"],
    [http => 'sparkngin_max_pending 0;', 'invalid value "0" in "sparkngin_max_pending" directive, it must be a number, 1 or more', 'sparkngin_max_pending 1;'],
    [http => 'sparkngin_max_pending +5;', 'invalid value "+5" in "sparkngin_max_pending" directive, it must be a number, 1 or more', 'sparkngin_max_pending 5;'],
    [http => 'sparkngin_max_pending 1; sparkngin_max_pending 1;', sprintf($duplicate, 'sparkngin_max_pending'), 'sparkngin_max_pending 1;'],
    [server => 'sparkngin_max_pending 1;', sprintf($context, 'sparkngin_max_pending'), ''],

    [http => 'sparkngin_sync_interval 100;', undef, 'sparkngin_sync_interval 100s;'],
    [http => 'sparkngin_sync_interval 1ns;', 'invalid value "1ns" in "sparkngin_sync_interval" directive, it must be a time like "100ms" or "5s"', 'sparkngin_sync_interval 1ms;'],
    [http => 'sparkngin_sync_interval 0;', 'invalid value "0" in "sparkngin_sync_interval" directive, it must be a time like "100ms" or "5s"', 'sparkngin_sync_interval 1;'],
    [http => 'sparkngin_sync_interval 1s; sparkngin_sync_interval 1s;', sprintf($duplicate, 'sparkngin_sync_interval'), 'sparkngin_sync_interval 1s;'],
    [location => 'sparkngin_sync_interval 1s;', sprintf($context, 'sparkngin_sync_interval'), ''],

    [http => 'sparkngin_gzip 9;', 'invalid value "9" in "sparkngin_gzip" directive, it must be "on" or "off"', 'sparkngin_gzip on;'],
    [http => 'sparkngin_gzip on; sparkngin_gzip off;', sprintf($duplicate, 'sparkngin_gzip'), 'sparkngin_gzip off;'],
    [server => 'sparkngin_gzip on;', sprintf($context, 'sparkngin_gzip'), ''],

    [http => 'sparkngin_format x;', 'invalid value "x" in "sparkngin_format" directive, it must be "json", "plain", "binary" or "envelope"', 'sparkngin_format json;'],
    [http => 'sparkngin_format JSON;', 'invalid value "JSON" in "sparkngin_format" directive, it must be "json", "plain", "binary" or "envelope"', 'sparkngin_format envelope;'],
    [http => 'sparkngin_format plain "";', 'invalid value "" in "sparkngin_format" directive, it must be 1 to 16 bytes and not begin with one of \\ - x 0-9 A-F, which escapes are made of', q(sparkngin_format plain '|';)],
    [http => q(sparkngin_format plain '-';), 'invalid value "-" in "sparkngin_format" directive, it must be 1 to 16 bytes and not begin with one of \\ - x 0-9 A-F, which escapes are made of', q(sparkngin_format binary '-';)],
    [http => 'sparkngin_format plain a b;', sprintf($number, 'sparkngin_format'), 'sparkngin_format plain a;'],
    [http => 'sparkngin_format json; sparkngin_format json;', sprintf($duplicate, 'sparkngin_format'), 'sparkngin_format json;'],
    [location => 'sparkngin_format json;', sprintf($context, 'sparkngin_format'), ''],

    [http => 'sparkngin_fields;', sprintf($number, 'sparkngin_fields'), 'sparkngin_fields %topic%;'],
    [http => 'sparkngin_fields topic;', 'invalid value "topic" in "sparkngin_fields" directive, it must be "%name%"', 'sparkngin_fields %topic% %anything_else%;'],
    [http => 'sparkngin_fields %topic% %%;', 'invalid value "%%" in "sparkngin_fields" directive, it must be "%name%"', 'sparkngin_fields %topic% %cookie_a%;'],
    [http => 'sparkngin_fields %ip% %topic% %ip%;', '"%ip%" stands in the list twice, it must stand there once, in "sparkngin_fields" directive', 'sparkngin_fields %ip% %topic% %sg%;'],
    [http => 'sparkngin_fields %timestamp%;', '"%timestamp%" could mean two fields, it must be "%time_stamp%" (receipt) or "%submitted_timestamp%" (the client\'s), in "sparkngin_fields" directive',
        'sparkngin_fields %time_stamp% %submitted_timestamp%;'],
    [http => 'sparkngin_fields %ip%; sparkngin_fields %ip%;', sprintf($duplicate, 'sparkngin_fields'), 'sparkngin_fields %ip%;'],
    [server => 'sparkngin_fields %ip%;', sprintf($context, 'sparkngin_fields'), ''],

    [location => 'sparkngin_root_loc;', sprintf($duplicate, 'sparkngin_root_loc'), ''],
    [server => 'sparkngin_root_loc;', sprintf($context, 'sparkngin_root_loc'), 'location = /x/log { sparkngin_root_loc; }'],
    [http => 'sparkngin_root_loc;', sprintf($context, 'sparkngin_root_loc'), ''],
    [server => 'location /x/ { sparkngin_root_loc on; }', sprintf($number, 'sparkngin_root_loc'), 'location /x/ { sparkngin_root_loc; }'],
    [server => 'location /x/ { sparkngin_root_loc; proxy_pass http://127.0.0.1:9; }', $alone, 'location /x/ { sparkngin_root_loc; if ($arg_a) { proxy_pass http://127.0.0.1:9; } }'],
    [server => 'location /x/ { proxy_pass http://127.0.0.1:9; sparkngin_root_loc; }', $alone, 'location /x/ { proxy_pass http://127.0.0.1:9; location /x/y/ { sparkngin_root_loc; } }'],
    [server => 'location /x/ { empty_gif; sparkngin_root_loc; limit_except GET { deny all; } }', $alone, 'location /x/ { sparkngin_root_loc; limit_except GET { deny all; } location /x/gif { empty_gif; } }'],
    [server => 'location /x/ { if ($arg_a) { sparkngin_root_loc; } }', sprintf($context, 'sparkngin_root_loc'), 'location /x/ { if ($arg_a) { return 204; } sparkngin_root_loc; }'],

    [http => 'sparkngin_curve_key none.key;', qq(open() "$dir/none.key" failed (2: No such file or directory), in "sparkngin_curve_key" directive), $curve],
    [http => 'sparkngin_curve_key open.key;', qq(others than its owner may use the secret key "$dir/open.key": its mode is 0640, it must be 0600, in "sparkngin_curve_key" directive), $curve],
    [http => 'sparkngin_curve_key short.key;', sprintf($no_key, "$dir/short.key", 'sparkngin_curve_key'), $curve],
    [http => 'sparkngin_curve_key .;', sprintf($no_key, "$dir/.", 'sparkngin_curve_key'), $curve],
    [http => 'sparkngin_curve_key "";', 'invalid value "" in "sparkngin_curve_key" directive, it must be a file with a key', $curve],
    [http => "$curve $curve", sprintf($duplicate, 'sparkngin_curve_key'), "sparkngin_curve_key $dir/server.key;"],
    [http => 'sparkngin_curve_key;', sprintf($number, 'sparkngin_curve_key'), $curve],
    [server => 'sparkngin_curve_key curve.key;', sprintf($context, 'sparkngin_curve_key'), ''],
);

sub judged {
    my ($place, $text, %more) = @_;
    my %part = (http => '', server => '', location => 'sparkngin_root_loc;', %more);
    $part{http} .= 'sparkngin_buf_path %%DIR%%/ring;' if $text !~ /buf_path/ || $place ne 'http';
    $part{$place} .= " $text";
    $t->conf(%part);
    my ($code, $said) = $t->check;
    my @emerg = map { s/^nginx: \[emerg\] //r } grep { /\[emerg\]/ } split /\n/, $said;
    s{ in \S+/nginx\.conf:\d+$}{} or $_ = "no file and line: $_" for @emerg;
    return $code == 0 ? 'accepted' : join "\n", @emerg;
}

for my $row (@rows) {
    my ($place, $wrong, $error, $twin) = @$row;
    my $shown = length $wrong > 60 ? substr($wrong, 0, 60) . '...' : $wrong;
    if (!defined $error) { is(judged($place, $wrong), 'accepted', "$place: $shown") }
    elsif (ref $error) { like(judged($place, $wrong), $error, "$place: $shown") }
    else { is(judged($place, $wrong), $error, "$place: $shown") }
    is(judged($place, $twin), 'accepted', "$place: but \"" . substr($twin, 0, 60) . '"');
}

# What depends on directives that stand elsewhere, and what they are merged with.

sub whole {
    my ($text) = @_;
    $t->conf(whole => "%%GLOBALS%%\nevents { }\n$text");
    my ($code, $said) = $t->check;
    return $code == 0 ? 'accepted' : $said;
}

my $server = 'server { listen 127.0.0.1:%%PORT%%; location /sn/ { sparkngin_root_loc; } }';
my $processes = qr/too small for (\d+) worker processes/;
{
    $t->conf(workers => 'auto', http => 'sparkngin_buf_path ring; sparkngin_buf_size 64k;', location => 'sparkngin_root_loc;');
    my ($code, $said) = $t->check;
    my $cores = `nproc --all` + 0;
    is($said =~ $processes && $1, $cores, '"worker_processes auto" is counted in cores');
}
{
    my $late = $t->conf(workers => 1, http => 'sparkngin_buf_path ring; sparkngin_buf_size 256k;', location => 'sparkngin_root_loc;');
    my ($code) = $t->check;
    is($code, 0, 'a buffer of four blocks is enough for one worker');
    my $text = $t->read_file($late);
    $text =~ s/^worker_processes 1;//m or die;
    $t->write_file($late, "$text\nworker_processes 8;\n");
    (my $failed, my $said) = $t->check;
    is($said =~ $processes && $1, 8, 'and too small for eight, also where they are told behind http');
    like($said, qr{nginx\.conf:\d+\n}, 'with the place of sparkngin_buf_size');
}
{
    my $inner = 'sparkngin_max_event 2m; server { listen 127.0.0.1:%%PORT%%; location /sn/ { sparkngin_max_event 1k; sparkngin_root_loc; } }';
    is(whole("http { %%HTTP%% sparkngin_buf_path ring; sparkngin_buf_size 512k; $inner }"), 'accepted', 'only events that some location takes count for the block size');
    like(whole("http { %%HTTP%% sparkngin_buf_path ring; sparkngin_buf_size 31m; sparkngin_max_event 2m; $server }"),
        qr/it must be 32m or more: 4 blocks of 4m for each/, 'the largest block has 4m');
}
{
    is(whole("http { %%HTTP%% sparkngin_buf_path %%DIR%%/unused; server { listen 127.0.0.1:%%PORT%%; } }"), 'accepted', 'without sparkngin_root_loc');
    ok(!-e $t->path('unused'), 'the directory is not even made');
    is(whole("http { %%HTTP%% sparkngin_buf_path %%DIR%%/used; $server }"), 'accepted', 'with it');
    ok(-d $t->path('used'), 'nginx makes the directory, also when it only tests');
    is((stat $t->path('used'))[2] & 07777, 0700, 'for its user alone');
    is(join(',', glob $t->path('used') . '/*'), '', 'and nothing in it');
    is((getpwuid((stat _)[4]))[0], $> == 0 ? 'www-data' : (getpwuid $>)[0], 'whom it belongs to');
}
{
    is(whole("http { %%HTTP%% sparkngin_buf_path %%DIR%%/used; $sub server { listen 127.0.0.1:%%PORT%%; location / { limit_except GET { deny all; } sparkngin_root_loc; } } }"),
        'accepted', 'limit_except beside sparkngin_root_loc');
    is(whole("http { %%HTTP%% sparkngin_buf_path %%DIR%%/used; } "), 'accepted', 'an http without a server');
}
is(whole(''), 'accepted', 'no http at all');
{
    $t->conf(http => 'sparkngin_buf_path ring; sparkngin_buf_size 900000g;', location => 'sparkngin_root_loc;');
    my ($code, $said) = $t->check;
    my $dir = $t->path('ring');
    is($code, 0, 'a size for which there is no room now');
    like($said, qr{\[warn\] there is no room in "\Q$dir\E" for a ring's file of \d+ bytes: /log is 503 until there is\n}, '  is told');
}
# What is there already: nginx gives whatever has this name to its user, and opens it to him, so that must be a directory.
{
    my $http = 'http { %%HTTP%% sparkngin_buf_path';
    my $seen = sub { join ' ', (stat $t->path($_[0]))[2, 4, 5] };
    my $file = $t->write_file('a-file', 'mine', 0604);
    my $shared = $t->path('shared');
    mkdir $shared or die "$shared: $!\n";
    for my $row ([604, 'a-file', qr/"sparkngin_buf_path" "\Q$file\E" is not a directory/],
        (map { [$_, 'shared', qr/others may write to "sparkngin_buf_path" "\Q$shared\E", its mode is $_: use a directory of its own/] } 1777, 777, 702)) {
        my ($mode, $name, $wanted) = @$row;
        chmod oct $mode, $t->path($name);
        my $before = $seen->($name);
        like(whole("$http %%DIR%%/$name; $server }"), qr/\[emerg\] $wanted in \S+nginx\.conf:\d+\n/, "$name with the mode $mode is refused");
        is($seen->($name), $before, '  and is as it was');
        is(whole("$http %%DIR%%/$name; server { listen 127.0.0.1:%%PORT%%; } }"), 'accepted', '  but not where no location needs it');
    }
    chmod 0770, $shared;
    is(whole("$http %%DIR%%/shared; $server }"), 'accepted', 'a directory that is not for everybody is taken');
    is($t->read_file('a-file'), 'mine', 'nobody wrote into the file');
}
{
    my $long = 'sparkngin_buf_path %%DIR%%/' . 'y' x 97 . ';';
    is(whole("http { %%HTTP%% $long server { listen 127.0.0.1:%%PORT%%; } }"), 'accepted', 'a path too long for a socket, and no location that needs one');
}
for my $row ([128, 0], [129, 0, qr/\[warn\] a ring has slots for 256 worker processes: over a reload, some of 129 new ones answer 503 until old ones have left/],
    [256, 0, qr/some of 256 new ones/], [257, 1, qr/\[emerg\] a ring has slots for 256 worker processes, "worker_processes" must not be 257/]) {
    my ($workers, $exit, $wanted) = @$row;
    $t->conf(workers => $workers, http => 'sparkngin_buf_path ring;', location => 'sparkngin_root_loc;');
    my ($code, $said) = $t->check;
    is($code, $exit, "$workers worker processes") or diag $said;
    $wanted ? like($said, $wanted, '  are told') : unlike($said, qr/slots/, '  are not worth a word');
    $t->conf(workers => $workers, http => 'sparkngin_buf_path ring;');
    is(($t->check)[0], 0, '  any number is taken without sparkngin_root_loc');
}

$t->finish;
