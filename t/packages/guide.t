#!/usr/bin/perl

# docs/guide.md is true: each command of it runs, one after another, in a fresh Debian with nothing but the packages, and says
# what the page says that it says. There is no systemd in that root; what stands in for systemctl goes by the unit's own lines.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Sparkngin::Poll 'poll';
use Sparkngin::Root qw(slurp put);

chdir "$FindBin::Bin/../.." or die;
my $it = Sparkngin::Root->new;
my ($version) = slurp('Cargo.toml') =~ /^version = "(.*)"/m;
is(scalar(my @packages = $it->packages($version)), 2, 'two packages');
systemctl();

my @blocks = slurp('docs/guide.md') =~ /^```(sh|text)\n(.*?)^```$/msg;
my $commands = 0;
while (@blocks) {
    my ($kind, $command) = splice @blocks, 0, 2;
    die "a text without a command: $command" if $kind ne 'sh';
    my ($name) = split /\n/, $command;
    my $expected = @blocks && $blocks[0] eq 'text' ? (splice @blocks, 0, 2)[1] : '';
    $commands++;
    # What is on its way is there a moment later; a person, too, would look again.
    my ($code, $missing);
    my $good = eval {
        poll(60, $name, sub {
            $code = $it->inside("cd /debs\n$command");
            $missing = join '', grep { !has($it->said, $_) } $expected =~ /^(.+)$/mg;
            return $code == 0 && $missing eq '' || ($code != 0 && $command !~ /audit|readyz/ ? -1 : 0);
        });
    };
    ok(($good // 0) == 1, $name) or diag("exit $code, without: $missing\n", $it->said);
}
cmp_ok($commands, '>', 12, 'commands');
done_testing;

# A line, `...` in it is anything.
sub has {
    my ($said, $line) = @_;
    my $pattern = join '.*', map { quotemeta } split /\.\.\.\s*/, $line, -1;
    $pattern =~ s/\\ \.\*/.*/g;
    return $said =~ /^$pattern\s*$/m;
}

# The verbs of systemctl that the guide has: of nginx by its own script, of sparkngin by its unit.
sub systemctl {
    put("$it->{root}/usr/local/bin/systemctl", <<'SH');
#!/bin/bash
verb=$1 unit=${!#}
[ "$unit" = nginx ] && exec service nginx "$verb"
line() { sed -n "s/^$1=//p" /lib/systemd/system/sparkngin.service; }
keep() {
    while [ -e /run/sparkngin.on ]; do
        setpriv --reuid "$(line User)" --regid "$(line Group)" --clear-groups $(line ExecStart) &
        echo $! >/run/sparkngin.pid
        wait $!
    done
}
case $verb in
enable) touch /run/sparkngin.on; keep </dev/null >/subscriber.log 2>&1 & ;;
kill) kill -KILL "$(cat /run/sparkngin.pid)" ;;
reload) MAINPID=$(cat /run/sparkngin.pid); line ExecReload | while read -r command; do eval "$command" || exit; done ;;
disable) rm -f /run/sparkngin.on; kill "$(cat /run/sparkngin.pid)" ;;
is-system-running | daemon-reload) ;;
*) exit 1 ;;
esac
SH
    chmod 0755, "$it->{root}/usr/local/bin/systemctl";
}
