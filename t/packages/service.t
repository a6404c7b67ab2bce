#!/usr/bin/perl

# The unit as systemd itself runs it, in a Debian that is booted: a reload reads the settings again and drops nothing, wrong ones
# change nothing, a loop that stands still is ended and started anew, and who was replaced by another of its name stays away. And
# what docs/operations.md says of nginx's own unit.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Sparkngin::Poll 'poll';
use Sparkngin::Root qw(slurp put);

chdir "$FindBin::Bin/../.." or die;
my $it = Sparkngin::Root->new(systemd => 1);
my ($version) = slurp('Cargo.toml') =~ /^version = "(.*)"/m;
is(inside("dpkg -i @{[ $it->packages($version) ]}"), 0, 'installed') or diag(said());
put("$it->{root}/etc/nginx/conf.d/events.conf", <<'CONF');
sparkngin_subscriber kafka;
server {
    listen 8080;
    location /sn/ { sparkngin_root_loc; }
}
CONF
is(inside('systemctl restart nginx'), 0, 'nginx has it') or diag(said());
inside('setsid sparkngin mock-kafka --port 9092 --topic load >/kafka.log 2>&1 & echo');
poll(30, 'Kafka is there', sub { slurp("$it->{root}/kafka.log") =~ /9092/ });
inside('systemctl is-enabled sparkngin; systemctl is-active sparkngin');
is(said(), "disabled\ninactive\n", 'it waits until its settings are written');
is(inside('systemctl enable --now sparkngin'), 0, 'enabled and started') or diag(said());
ok(arrives('first', 'load'), 'an event arrives');

inside('systemd-analyze verify --man=no sparkngin.service');
is(said(), '', 'systemd-analyze verify has nothing to say of it');
my ($score) = slurp('docs/security.md') =~ /`systemd-analyze security` gives it .*?, and ([\d.]+) once it runs/;
inside('systemd-analyze security --no-pager sparkngin.service');
is((said() =~ /exposure level for sparkngin\.service: ([\d.]+)/)[0], $score, 'it is as closed as docs/security.md says');

# --- reload ---

my $settings = "$it->{root}/etc/sparkngin/subscribe.toml";
my $first = shown('MainPID');
(my $text = slurp($settings)) =~ s/^#topics = .*/topics = ["other"]/m or die;
put($settings, $text);
is(inside('systemctl reload sparkngin'), 0, 'reloaded') or diag(said());
ok(arrives('second', 'sparkngin.dead'), '  and the topics are the new ones');
put($settings, $text =~ s/^topics/topicz/mr);
isnt(inside('systemctl reload sparkngin'), 0, 'wrong settings are not taken');
inside('journalctl -u sparkngin --no-pager');
like(said(), qr{subscribe\.toml:\d+: unknown key "topicz", perhaps "topics"}, '  and that is said');
put($settings, $text =~ s/^topics.*//mr);
is(inside('systemctl reload sparkngin'), 0, 'right ones are, after that') or diag(said());
ok(arrives('third', 'load'), '  and the topics are the new ones');
is(shown('MainPID'), $first, 'all that in one process');
is(sessions(), 1, '  and one session');

# --- it stands still ---

is(shown('WatchdogUSec'), '30s', 'systemd waits for 30 s');
put_dropin("[Service]\nWatchdogSec=4\n");
is(inside('systemctl restart sparkngin'), 0, 'here for 4 s');
ok(arrives('fourth', 'load'), 'an event arrives');
my $still = shown('MainPID');
inside("kill -STOP $still");
ok(poll(60, 'it is ended', sub { shown('MainPID') ne $still }), 'what stands still is ended');
ok(arrives('fifth', 'load'), '  and started anew');
inside('journalctl -u sparkngin --no-pager');
like(said(), qr/Watchdog timeout/, '  by the watchdog');
put_dropin('');

# --- nginx's unit ---

inside('chown root /var/lib/nginx/sparkngin && systemctl reload nginx');
ok(poll(60, 'the owner is nginx', sub { inside('stat -c %U /var/lib/nginx/sparkngin'); said() eq "www-data\n" }), 'a reload gives the directory back to nginx');
ok(arrives('given-back', 'load'), '  and an event arrives');
put_dropin("[Service]\nRestart=on-failure\n", 'nginx');
inside('kill -KILL $(cat /run/nginx.pid)');
ok(arrives('after-nginx', 'load'), 'with Restart=on-failure an nginx that was killed is there again');

# --- another of its name ---

is(inside('systemctl restart sparkngin'), 0, 'started again');
ok(arrives('sixth', 'load'), 'an event arrives');
inside('setsid setpriv --reuid www-data --regid www-data --clear-groups sparkngin subscribe --config /etc/sparkngin/subscribe.toml --http off >/other.log 2>&1 & echo $!');
ok(poll(60, 'it left', sub { shown('ActiveState') eq 'failed' }), 'who was replaced leaves, and is not started again');
is(shown('ExecMainStatus'), 3, '  with exit code 3');
ok(arrives('seventh', 'load'), 'the other one goes on');
done_testing;

sub inside { return $it->inside(@_) }

sub said { return $it->said }

# Sends an event to the topic load, and waits until it is where it belongs.
sub arrives {
    my ($id, $where) = @_;
    # What is being started anew is asked again.
    poll(60, "$id is taken", sub {
        inside(qq(curl -s -o /dev/null -w '%{http_code}' 'http://127.0.0.1:8080/sn/log?topic=load&id=$id&data=x'));
        return said() eq '204';
    });
    return poll(60, "$id is in $where", sub { $it->ids($where)->{$id} });
}

sub shown {
    my ($what) = @_;
    inside("systemctl show sparkngin -p $what --value");
    chomp(my $value = said());
    return $value;
}

sub sessions {
    inside('journalctl -u sparkngin --no-pager | grep -c "session open"');
    return 0 + said();
}

sub put_dropin {
    my ($text, $unit) = (@_, 'sparkngin');
    mkdir "$it->{root}/etc/systemd/system/$unit.service.d";
    put("$it->{root}/etc/systemd/system/$unit.service.d/test.conf", $text);
    inside('systemctl daemon-reload');
}
