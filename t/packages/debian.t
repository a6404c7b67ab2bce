#!/usr/bin/perl

# The Debian packages in a Debian of their own that is booted, with its nginx: installed, an event gets through; upgraded under
# load, no event that was answered with success is missing; removed, nginx goes on without; purged, nothing is left. Needs root.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Sparkngin::Poll 'poll';
use Sparkngin::Root qw(slurp put);

chdir "$FindBin::Bin/../.." or die;
my $it = Sparkngin::Root->new(systemd => 1);
my $root = $it->{root};
my ($version) = slurp('Cargo.toml') =~ /^version = "(.*)"/m;
my %deb = map { $_ => [ $it->packages($_) ] } $version, "$version+1";
is(scalar @{ $deb{$_} }, 2, "two packages of version $_") for sort keys %deb;
my $found = qx(lintian --fail-on error,warning --tag-display-limit 0 build/deb/*_${version}_*.deb 2>&1);
is($?, 0, 'lintian finds nothing wrong') or diag($found);

# --- installed ---

like(scalar qx(dpkg-deb -f build/deb/libnginx-mod-http-sparkngin_${version}_*.deb Depends), qr/\bnginx-abi-\d/, 'the module wants the nginx whose modules it fits');
is(inside("dpkg -i @{ $deb{$version} }"), 0, 'installed') or diag(said());
is(inside('nginx -t'), 0, 'nginx -t');
my $conf = "$root/etc/nginx/conf.d/events.conf";
put($conf, <<'CONF');
sparkngin_subscriber kafka;
sparkngin_buf_size 16m;
server {
    listen 8080;
    location /sn/ { sparkngin_root_loc; }
}
CONF
is(inside('nginx -t'), 0, 'nginx -t with directives of the module') or diag(said());
is(inside('systemctl restart nginx'), 0, 'nginx has them') or diag(said());
inside('setsid sparkngin mock-kafka --port 9092 --topic load >/kafka.log 2>&1 & echo');
poll(30, 'Kafka is there', sub { slurp("$root/kafka.log") =~ /9092/ });
is(inside('sparkngin subscribe --config /etc/sparkngin/subscribe.toml -t'), 0, 'the settings that come with it are good');
is(inside('systemctl enable --now sparkngin'), 0, 'the subscriber starts') or diag(said());
is(event('first'), 204, 'an event is taken');
ok(poll(60, 'and is in Kafka', sub { ids()->{first} }), 'and is in Kafka');

# --- upgraded under load ---

inside('mkfifo /stop; setsid /debs/issuer --ports 8080 --log /load --topic load --rate 200 --connections 8 <>/stop >/issuer.log 2>&1 & echo $!');
my ($issuer) = said() =~ /(\d+)/;
my $taken = sub { scalar grep { /^\S+ 204 / } split /\n/, slurp("$root/load") };
poll(60, 'events are taken', sub { $taken->() > 200 });
my @before = modules();
my $before = subscriber();
is(inside("dpkg -i @{ $deb{qq($version+1)} }"), 0, 'upgraded') or diag(said());
my $then = $taken->();
ok(subscriber() && subscriber() ne $before, 'the subscriber is a new one');
poll(60, 'events are taken after the upgrade', sub { $taken->() > $then + 400 });
cmp_ok(scalar @before, '>', 0, 'workers had the module before');
ok(poll(60, 'all workers have the new module', sub { my @now = modules(); @now && !grep { /deleted/ } @now }), 'and all have the new one');
inside("kill -TERM $issuer");
poll(30, 'the load ended', sub { inside("kill -0 $issuer") });
my @sent = map { [ split ' ' ] } split /\n/, slurp("$root/load");
my @kept = map { $_->[0] } grep { ($_->[1] // 0) == 204 } @sent;
my $missing = sub { my $there = ids(); return scalar grep { !$there->{$_} } @kept };
cmp_ok(scalar @kept, '>', 500, 'events were answered with success');
ok(eval { poll(60, 'each is in Kafka', sub { !$missing->() }) }, 'each event that was answered with success is in Kafka') or diag($missing->() . ' are missing', inside('journalctl -u sparkngin --no-pager; tail -20 /var/log/nginx/error.log; sparkngin ring status /var/lib/nginx/sparkngin') . said());
note(scalar(@kept) . ' of ' . scalar(@sent) . ' events were answered with success');
is(inside('sparkngin audit --kafka 127.0.0.1:9092 --topic load --ring /var/lib/nginx/sparkngin'), 0, 'the books close') or diag(said());

# --- removed, installed again, purged ---

is(inside('dpkg -r libnginx-mod-http-sparkngin'), 0, 'the module is removed, its directives are not') or diag(said());
like(said(), qr{still has unknown directive "sparkngin_subscriber" in /etc/nginx/conf\.d/events\.conf:1\n.*nginx will not start}, '  and that is said, with the place');
is(event('last'), 204, '  and the nginx that runs takes events all the same');
unlink $conf;
ok(subscriber(), 'the subscriber runs until here');
is(inside('dpkg -r sparkngin'), 0, 'removed') or diag(said());
unlike(said(), qr/will not start/, '  with nothing to say');
is(inside('nginx -t && systemctl restart nginx'), 0, 'nginx goes on without the module') or diag(said());
is(inside('pgrep -f "[s]ubscribe --config"'), 1, 'the subscriber has ended') or diag(said());
ok(!-e "$root/usr/lib/nginx/modules/ngx_http_sparkngin_module.so", 'it is gone');
ok(-d "$root/var/lib/nginx/sparkngin", 'its ring is still there');
is(inside("dpkg -i @{ $deb{qq($version+1)} } && nginx -t"), 0, 'installed again') or diag(said());
ok(-l "$root/etc/nginx/modules-enabled/50-mod-http-sparkngin.conf", 'and enabled again');
is(inside('dpkg -P libnginx-mod-http-sparkngin sparkngin'), 0, 'purged') or diag(said());
is(inside('nginx -t && systemctl is-active nginx'), 0, 'nginx goes on after that') or diag(said());
inside('find / -xdev -path /proc -prune -o -path /debs -prune -o -name "*sparkngin*" -print');
is(said(), '', 'nothing of it is left');

done_testing;

sub inside { return $it->inside(@_) }

sub said { return $it->said }

sub ids { return $it->ids('load') }

# The unit's process.
sub subscriber {
    inside('systemctl show sparkngin -p MainPID --value');
    chomp(my $pid = said());
    return $pid;
}

sub event {
    my ($id) = @_;
    inside(qq(curl -s -o /dev/null -w '%{http_code}' 'http://127.0.0.1:8080/sn/log?topic=load&id=$id&data=x'));
    return said();
}

# Where the workers have their module from.
sub modules {
    inside(q(for p in $(pgrep -f 'nginx: worker'); do grep -m1 ngx_http_sparkngin /proc/$p/maps; done));
    return split /\n/, said();
}
