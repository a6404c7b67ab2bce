#!/usr/bin/perl

# nginx's own build takes the module: ./configure --add-dynamic-module and `make modules` of another nginx than the distribution's
# make one that this nginx loads, `make install` puts it in its place, and what cannot be is said by ./configure.

use strict;
use warnings;
use Cwd 'abs_path';
use File::Temp;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Sparkngin::Root 'slurp';
use Test::More;

my $root = abs_path("$FindBin::Bin/../..");
chdir $root or die;
my $dir = File::Temp->newdir('/tmp/sn-XXXXXX');
# What is built once may stay: cargo looks whether it is still right.
$ENV{CARGO_TARGET_DIR} //= "$root/target";

my %at = map { split /=/, $_, 2 } split /\n/, qx(tools/nginx-vendored 1.28 build);
my ($tree, $nginx) = @at{qw(NGINX_SOURCE_DIR TEST_NGINX)};
ok(-x $nginx, 'an nginx 1.28') or BAIL_OUT('it could not be built');
system('cp', '-r', "$tree/.", "$dir/nginx") == 0 or die;

# Runs in nginx's source: (exit code, all it printed).
sub in_source {
    my ($command) = @_;
    my $code = system 'bash', '-c', "cd $dir/nginx && { $command; } >$dir/said 2>&1";
    return ($code >> 8, slurp("$dir/said"));
}

my @options = ('--with-compat', '--with-threads', '--with-http_ssl_module', "--prefix=$dir/installed");
my $configure = "bash auto/configure @options --builddir=$dir/objs";
my ($code, $text) = in_source("$configure --add-dynamic-module=$root");
is($code, 0, './configure takes it') or diag($text);
like($text, qr/^ \+ ngx_http_sparkngin_module was configured$/m, '  and says so');
($code, $text) = in_source("make -f $dir/objs/Makefile modules");
is($code, 0, 'make modules') or diag($text);
my $module = "$dir/objs/ngx_http_sparkngin_module.so";
ok(-s $module, '  makes the module');

open my $conf, '>', "$dir/nginx.conf" or die;
print $conf <<"CONF";
load_module $module;
pid $dir/nginx.pid;
error_log $dir/error.log;
events { }
http {
    access_log off;
    sparkngin_buf_path $dir/ring;
    server { listen 127.0.0.1:1; location /sn/ { sparkngin_root_loc; } }
}
CONF
close $conf;
$text = qx($nginx -t -e $dir/error.log -c $dir/nginx.conf 2>&1);
is($?, 0, 'nginx 1.28 loads it') or diag($text);
if (-x '/usr/sbin/nginx') {
    $text = qx(/usr/sbin/nginx -t -e $dir/error.log -c $dir/nginx.conf 2>&1);
    my ($version) = qx(/usr/sbin/nginx -v 2>&1) =~ m{nginx/(\S+)};
    like($text, qr/version \d+ instead of \d+/, "  and $version does not") if $version !~ /^1\.28\./;
}

# `make install` would build nginx first; this part of it is the module's.
($code, $text) = in_source("make -f $dir/objs/Makefile sparkngin_install");
is($code, 0, 'make install') or diag($text);
ok(-s "$dir/installed/modules/ngx_http_sparkngin_module.so", '  puts it among the modules');

($code, $text) = in_source("$configure --add-module=$root");
is($code, 1, 'it cannot be built in');
like($text, qr/error: sparkngin cannot be built into nginx: use --add-dynamic-module=\Q$root\E/, '  and that is said');
($code, $text) = in_source("$configure --without-http --add-dynamic-module=$root");
is($code, 1, 'without HTTP there is no use for it');
like($text, qr/error: sparkngin needs HTTP/, '  and that is said');
($code, $text) = in_source("CARGO=/nowhere/cargo $configure --add-dynamic-module=$root");
is($code, 1, 'without cargo it cannot be built');
like($text, qr/error: sparkngin needs Rust/, '  and that is said');
done_testing;
