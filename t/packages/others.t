#!/usr/bin/perl

# The RPMs have what the Debian packages have, and install into an empty root and out of it again; the tarball runs where it is
# unpacked, and an event gets through.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Temp;
use JSON::PP;
use Test::More;
use Sparkngin::Poll 'poll';
use Sparkngin::Port 'free_port';
use Sparkngin::Root qw(slurp put);

chdir "$FindBin::Bin/../.." or die;
my $dir = File::Temp->newdir('/tmp/sn-XXXXXX');
delete $ENV{PACKAGER};
my ($version) = slurp('Cargo.toml') =~ /^version = "(.*)"/m;

# --- what is in them ---

mkdir "$dir/fedora" or die;
put("$dir/fedora/ngx_auto_config.h", qq(#define NGX_HTTP_CLIENT_TEMP_PATH  "/var/lib/nginx/tmp/client_body"\n));
is(system("NGINX_SOURCE_DIR=$dir/fedora NGINX_BUILD_DIR=$dir/fedora tools/gather $dir/gathered"), 0, 'gathered for an nginx with other directories');
like(slurp("$dir/gathered/subscribe.toml"), qr{^feed = \["ipc:///var/lib/nginx/tmp/sparkngin/feed\.sock"\]$}m, 'the feed is where that nginx has the ring');

# --- RPMs ---

my @rpms = split /\n/, qx(tools/rpm);
is(scalar @rpms, 2, 'two RPMs');
my %rpm = map { m{/(nginx-mod-http-sparkngin|sparkngin)-\Q$version\E} ? ($1 => $_) : () } @rpms;
my $found = qx(rpmlint --strict -c packaging/rpmlint.toml -r packaging/rpmlintrc @rpms 2>&1);
like($found, qr/ 0 errors, 0 warnings,/, 'rpmlint finds nothing') or diag($found);
is(system("rpm -K --nosignature @rpms >/dev/null"), 0, 'their digests are right');
my ($nginx) = qx(/usr/sbin/nginx -v 2>&1) =~ m{nginx/([\d.]+)};
like(qx(rpm -qp --requires $rpm{'nginx-mod-http-sparkngin'}), qr/^nginx\(abi\) = \Q$nginx\E$/m, 'the module wants the nginx that it was built for');
is(qx(rpm -qp --qf '%{PACKAGER}\n' $rpm{$_}), slurp('packaging/packager'), "who packed $_ is said") for sort keys %rpm;
like(qx(rpm -qp --requires $rpm{sparkngin}), qr/^libzmq\.so\.5\(\)\(64bit\)$/m, 'the program wants its libraries');
is(qx(rpm -qpc $rpm{sparkngin}), "/etc/sparkngin/subscribe.toml\n", 'the settings are kept over an upgrade');
is(system("rpm --root $dir/root --nodeps --noscripts -i @rpms 2>$dir/said"), 0, 'installed') or diag(slurp("$dir/said"));
for my $file (qw(usr/bin/sparkngin usr/lib64/nginx/modules/ngx_http_sparkngin_module.so usr/share/nginx/modules/mod-http-sparkngin.conf
    usr/lib/systemd/system/sparkngin.service usr/share/man/man1/sparkngin.1.gz usr/share/man/man1/sparkngin-subscribe.1.gz usr/share/man/man7/sparkngin-feed.7.gz
    usr/share/fish/vendor_completions.d/sparkngin.fish)) {
    ok(-s "$dir/root/$file", $file);
}
like(slurp("$dir/root/usr/lib/systemd/system/sparkngin.service"), qr/^User=nginx$/m, 'the unit runs as nginx\'s user there');
is(system("$dir/root/usr/bin/sparkngin --version >/dev/null"), 0, 'the program runs');
is(system("rpm --root $dir/root --nodeps --noscripts -e sparkngin nginx-mod-http-sparkngin"), 0, 'removed');
is(qx(find $dir/root -name '*sparkngin*'), '', 'nothing is left');

# --- the tarball ---

chomp(my $tar = qx(tools/tarball));
is(system("tar -C $dir -xzf $tar"), 0, 'unpacked');
my ($tree) = glob "$dir/sparkngin-*";
mkdir "$dir/bin" or die;
symlink $_, "$dir/bin/" . s{.*/}{}r for grep { !m{/(?:curl|nginx)$} } glob '/usr/bin/* /bin/*';
is(system("PATH=$dir/bin $tree/run.sh >$dir/said 2>&1") >> 8, 2, './run.sh wants what it needs');
is(slurp("$dir/said"), "missing: curl; install it first (Debian: apt-get install nginx curl libzmq5 libssl3)\n", '  and says what that is');
my ($port, $live, $kafka) = (free_port(), free_port(), free_port());
my $run = fork // die;
if (!$run) {
    open STDIN, '<', '/dev/null';
    open STDOUT, '>', "$dir/log";
    open STDERR, '>&', \*STDOUT;
    exec 'env', "PORT=$port", "LIVE_PORT=$live", "MOCK_PORT=$kafka", "$tree/run.sh" or die;
}
my $sent = poll(60, 'an event is taken', sub { qx(curl -s -o /dev/null -w '%{http_code}' 'http://127.0.0.1:$port/sn/log?topic=clicks&id=here') eq '204' });
ok($sent, './run.sh takes an event');
my $read = sub { grep { decode_json($_)->{id} eq 'here' } qx(kcat -b 127.0.0.1:$kafka -t clicks -C -e -q 2>/dev/null) };
ok(poll(60, 'it is in Kafka', $read), 'and it is in Kafka');
kill TERM => $run;
waitpid $run, 0;
ok(!-e "$tree/build/sparkngin.new" && -d "$tree/run", 'what it keeps lies below it');
done_testing;
