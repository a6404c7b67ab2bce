#!/usr/bin/perl
# `sparkngin check` and `sparkngin status`: what they say in each state, by themselves and run by a real Nagios.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sparkngin::Spine;
use Test::More;

my ($nagios) = grep { -x } '/usr/sbin/nagios4';
die "no nagios4: run `make deps` first\n" if !$nagios;

my $t = Sparkngin::Spine->new(kafka => 0, start => 0, buf_size => '1m');
my ($sn, $own) = $t->watched('a');

sub check {
    my ($what, @more) = @_;
    my ($code, $text) = $t->run($Sparkngin::PROGRAM, 'check', $what, '--url', $what eq 'kafka' ? $own : $sn, @more);
    return "$code $text";
}

# --- all is well ---

is($t->post('/sn/log?topic=a', 'x')->{status}, 204, 'an event');
$t->drained;
poll(20, 'it is counted', sub { check('kafka') =~ /99 %/ });
my $line = qr/^0 SPARKNGIN [A-Z]+ OK - [^|\n]+(?: \| (?:'[^'=]+'=[\d.]+[s%c]?(?:;[^; ]*){4} ?)+)?\n\z/;
for my $what (qw(imok ring lag loss refused publisher subscriber kafka)) {
    like(check($what), $line, "$what: one line, exit code 0");
}
like(check('ring'), qr/ \| 'ring'=[\d.]+%;80;95;0;100$/m, 'numbers have units and bounds');
like(check('lag', '-w', '5', '-c', '10'), qr/'kafka lag'=0s;5;10;0; 'kafka events'=0;;;0;$/m, '  as they were given');
like(check('ring', '-w', '@0:100'), qr/^1 SPARKNGIN RING WARNING/, 'a range turned inside out');
like(check('ring', '-c', '~:-1'), qr/^2 SPARKNGIN RING CRITICAL/, 'a lower bound');
poll(30, 'a tick is known', sub { $t->status->{recent}{seconds} });
my ($code, $text) = $t->run($Sparkngin::PROGRAM, 'status', $sn);
is($code, 0, 'status: all is well');
like($text, qr{^\Q$sn\E well; in [\d.]+/s; ring \d+ %; kafka behind 0 events, 0\.0 s; refused 0; lost 0\n\z}, '  in one line');

# --- what cannot be ---

like(check('lag', '--name', 'nobody'), qr/^3 SPARKNGIN LAG UNKNOWN - no subscriber is named nobody$/, 'a name that is not there');
like(check('ring', '-w', '20:10'), qr/^3 SPARKNGIN RING UNKNOWN - -w 20:10: /, 'a range that is none');
is((split ' ', check('nothing'))[0], 3, 'a check that is none');
is((split ' ', check('ring', '--wrong'))[0], 3, 'an option that is none');
my $nobody = 'http://127.0.0.1:' . $t->port('nobody') . '/sn/';
($code, $text) = $t->run($Sparkngin::PROGRAM, 'check', 'imok', '--url', $nobody);
like("$code $text", qr/^2 SPARKNGIN IMOK CRITICAL - \Q$nobody\E does not answer: [^|\n]+\n\z/, 'nobody answers');
($code, $text) = $t->run($Sparkngin::PROGRAM, 'status', $nobody, $sn);
is($code, 1, 'status: one of two does not answer');
like($text, qr/does not answer.*well; .*1 of 2 not well/s, '  and the other one is told of all the same');

# --- a real Nagios runs them ---

my @what = qw(imok ring lag loss refused publisher subscriber kafka);
mkdir $t->path("nagios$_") for '', '/results';
my $services = join '', map {
    my $url = $_ eq 'kafka' ? $own : $sn;
    "define command {\n command_name sparkngin_$_\n command_line $Sparkngin::PROGRAM check $_ --url $url -t 5\n}\n"
        . "define service {\n host_name here\n service_description $_\n check_command sparkngin_$_\n max_check_attempts 1\n check_interval 1\n"
        . " retry_interval 1\n check_period always\n notification_period always\n notifications_enabled 0\n contacts nobody\n}\n"
} @what;
$t->write_file('nagios/objects.cfg', <<"CONF" . $services, 0644);
define timeperiod {
 timeperiod_name always
 alias always
 sunday 00:00-24:00
 monday 00:00-24:00
 tuesday 00:00-24:00
 wednesday 00:00-24:00
 thursday 00:00-24:00
 friday 00:00-24:00
 saturday 00:00-24:00
}
define command {
 command_name nothing
 command_line /bin/true
}
define contact {
 contact_name nobody
 host_notification_commands nothing
 service_notification_commands nothing
 host_notification_period always
 service_notification_period always
}
define host {
 host_name here
 address 127.0.0.1
 check_command nothing
 max_check_attempts 1
 check_period always
 notification_period always
 contacts nobody
}
CONF
my $user = $> == 0 ? 'nobody' : scalar getpwuid $>;
my $group = getgrgid((getpwnam $user)[3]);
my $dir = $t->path('nagios');
$t->write_file('nagios/nagios.cfg', <<"CONF", 0644);
log_file=$dir/nagios.log
cfg_file=$dir/objects.cfg
object_cache_file=$dir/objects.cache
precached_object_file=$dir/objects.precache
status_file=$dir/status.dat
status_update_interval=1
temp_file=$dir/nagios.tmp
temp_path=$dir
check_result_path=$dir/results
state_retention_file=$dir/retention.dat
lock_file=$dir/nagios.pid
command_file=$dir/nagios.cmd
query_socket=$dir/nagios.qh
nagios_user=$user
nagios_group=$group
check_external_commands=0
interval_length=1
enable_notifications=0
use_syslog=0
max_service_check_spread=1
service_inter_check_delay_method=n
check_for_updates=0
illegal_object_name_chars=`~!\$%^&*|'"<>?,()=
CONF
chown +(getpwnam $user)[2, 3], map { $t->path("nagios$_") } '', '/results' if $> == 0;
($code, $text) = $t->run($nagios, '-v', "$dir/nagios.cfg");
is($code, 0, 'Nagios takes the configuration') or diag($text);
$t->daemon(name => 'nagios', foreign => 1, command => [$nagios, "$dir/nagios.cfg"]);

# What Nagios has on a service: its state, the plugin's words, the numbers.
sub seen {
    my ($what) = @_;
    my ($block) = $t->read_file('nagios/status.dat') =~ /^servicestatus \{\n((?:(?!\}).*\n)*?\tservice_description=$what\n.*?)^\t\}/ms or return {};
    return { $block =~ /^\t(\w+)=(.*)$/mg };
}

for my $what (@what) {
    my $seen = poll(60, "Nagios has run $what", sub { my $seen = seen($what); $seen->{has_been_checked} && $seen });
    is($seen->{current_state}, 0, "Nagios: $what is OK") or diag($seen->{plugin_output});
    like($seen->{plugin_output}, qr/^SPARKNGIN \U$what\E OK - /, '  with its words');
}
like(seen('ring')->{performance_data}, qr/^'ring'=[\d.]+%;80;95;0;100$/, '  and its numbers');

# --- it is told of what goes away ---

$t->{subscriber}->stop;
poll(60, 'Nagios knows that the subscriber is away', sub { my $seen = seen('subscriber'); $seen->{current_state} && $seen->{current_state} == 2 });
is(seen('subscriber')->{plugin_output}, 'SPARKNGIN SUBSCRIBER CRITICAL - away: kafka', 'the subscriber is away');
like(check('imok'), qr/^1 SPARKNGIN IMOK WARNING - events are taken; away: subscriber "kafka"$/, 'events are taken all the same');
like(check('kafka'), qr/^2 SPARKNGIN KAFKA CRITICAL - /, 'and nobody says how Kafka is');
# Each worker has room as long as its own block has.
poll(60, 'neither worker has room', sub {
    $t->post('/sn/log?topic=a', 'x' x 16_000) for 1 .. 10;
    return 10 == grep { $t->get('/sn/imok')->{status} == 503 } 1 .. 10;
});
like(check('imok'), qr/^2 SPARKNGIN IMOK CRITICAL - events are refused: the ring is full, held by "kafka"/, 'a full ring');
like(check('ring'), qr/^2 SPARKNGIN RING CRITICAL - 100 % full/, '  is full');
like(check('lag', '-w', '0', '-c', '1000'), qr/^1 SPARKNGIN LAG WARNING - kafka is [\d.]+ s behind, \d+ events \| 'kafka lag'=/, '  and events wait');
poll(30, 'refusals are counted', sub { check('refused') =~ /^1 SPARKNGIN REFUSED WARNING - [1-9]\d* events refused/ });
($code, $text) = $t->run($Sparkngin::PROGRAM, 'status', $sn);
like("$code $text", qr{^1 \Q$sn\E Events are refused: the ring is full}, 'status says it first');

$t->finish;
