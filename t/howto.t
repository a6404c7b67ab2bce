#!/usr/bin/perl

# docs/how-to.md is true: each configuration of it is loaded by `nginx -t` or `sparkngin subscribe -t`, each command runs, and what is
# promised under "Tried" is tried, with the page's own configurations; addresses, ports and directories are this test's.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Sparkngin;
use Sparkngin::Load;
use Test::More;

my $json = JSON::PP->new->utf8;
my %page = sections("$Sparkngin::ROOT/docs/how-to.md");
my ($tls, $many, $balanced, $two, $cluster) = map { $page{$_} // die "docs/how-to.md: no section $_\n" } 'TLS for events, CURVE for the feed',
    'Many nginx, one subscriber', 'Behind a load balancer', 'Two nodes for availability', 'Another Kafka cluster';
my %node;    # the page's machines: a world each, those of one section, or of two
my %used;    # the blocks that were loaded

# --- TLS for events, CURVE for the feed ---

machines('web1', 'web2', 'collector');
commands($tls);
pass_on('web1.pub', 'web1', 'collector');
pass_on('collector.pub', 'collector', 'web1');
my $web1 = $node{web1};
my ($code, $said) = $web1->run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=events.example.org', '-addext', 'subjectAltName=DNS:events.example.org',
    '-keyout', $web1->path('events.key'), '-out', $web1->path('events.crt'));
die "openssl: $said\n" if $code;
serve('web1', $tls);
my @tls = ('curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', '--cacert', $web1->path('events.crt'),
    '--resolve', 'events.example.org:' . $web1->port . ':127.0.0.1');
my $https = 'https://events.example.org:' . $web1->port;
poll(20, 'web1 takes events', sub { ($web1->run(@tls, "$https/sn/imok"))[1] eq '200' });
is(($web1->run(@tls, "$https/sn/log?topic=a&id=tls"))[1], '204', 'an event by HTTPS');
$node{collector}->run($Sparkngin::PROGRAM, 'keygen', $node{collector}->path('stranger'));
my $stranger = subscriber('stranger', 'collector', $tls, sub { s/collector\.key/stranger.key/ });
$stranger->says(qr/(does not know our key)/, 30);
is_deeply([ arrived('stranger') ], [], 'a subscriber with another key gets nothing');
$stranger->stop;
my $subscriber = subscriber('one', 'collector', $tls);
arrives('one', 'tls');
$subscriber->stop;

# --- Many nginx, one subscriber: the same web1 ---

($code, $said) = $node{web2}->run('/bin/sh', '-c', "cd $node{web2}{dir} && $Sparkngin::PROGRAM keygen web2");
is($code, 0, 'web2 has a pair of keys') or diag($said);
pass_on('web2.pub', 'web2', 'collector');
pass_on('collector.pub', 'collector', 'web2');
serve('web2', $many)->ready;
is(($web1->run(@tls, "$https/sn/log?topic=a&id=held"))[1], '204', 'an event that web1 holds');
$web1->stop;
$subscriber = subscriber('both', 'collector', $many);
is($node{web2}->get('/sn/log?topic=a&id=second')->{status}, 204, 'an event at web2');
arrives('both', 'second');
is_deeply([ arrived('both') ], ['second'], "web2's events arrive while web1 is away");
$web1->start;
arrives('both', 'held');
halt();

# --- Behind a load balancer ---

machines('web1', 'web2', 'balancer');
for my $name (qw(web1 web2)) { steady(serve($name, $balanced)->ready) }
my $balancer = serve('balancer', $balanced)->ready('/sn/imok');
my %reader = map { $_ => subscriber("at.$_", $_, $two) } qw(web1 web2);
my (%status, $sent);
poll(60, 'both machines get events', sub {
    $status{ $balancer->get('/sn/log?topic=a&id=b' . ++$sent)->{status} }++;
    return 2 == grep { books($_, 'kafka')->{committed} } qw(web1 web2);
});
is_deeply([ keys %status ], [204], 'events through the balancer are taken by both machines');
my $url = 'http://127.0.0.1:' . $balancer->port . '/sn';
is(($balancer->run('curl', '-sS', '-w', '%{http_code}', '--interface', '127.0.0.9', "$url/log?topic=a&id=from"))[1], '204', 'an event from 127.0.0.9');
my ($from) = arrives([qw(at.web1 at.web2)], 'from');
is($from->{ip}, '127.0.0.9', "the field ip is the client's");
is($balancer->get('/sn/status')->{status}, 404, 'nobody sees /sn/status through the balancer');
is($node{web1}->status->{publisher}{present}, JSON::PP::true, 'but at the machine itself');
$node{web1}->stop;
%status = ();
for (1 .. 20) {
    $status{ $balancer->get('/sn/log?topic=a&id=g' . $_)->{status} }++;
    $status{ $balancer->post('/sn/log?topic=a&id=p' . $_, 'body')->{status} }++;
}
is_deeply(\%status, { 204 => 40 }, 'with web1 stopped no request fails');
$node{web1}->start->ready;

# --- Two nodes for availability: the same machines, and the same subscribers ---

for my $name (qw(web1 web2)) {
    configure($name, $two);
    $node{$name}->reload;
    $node{$name}->ready;
}
my $load = Sparkngin::Load->new($balancer, rate => 300, connections => 8);
poll(60, 'both machines deliver events of the load', sub { 2 == grep { 20 < grep { /^\Q$load->{prefix}\E\W?\d+$/ } arrived("at.$_") } qw(web1 web2) });
my @nginx = ($node{web1}->master, $node{web1}->workers);
$node{web1}->kill9(@nginx);
$load->wait_more(300);
my @good = map { $_->{id} } grep { $_->{status} == 204 } $load->events;
my %there = map { $_->{id} => 1 } map { lines($_) } qw(at.web1 at.web2);
is_deeply([ grep { !$there{$_} } @good ], [], 'each of ' . @good . ' events that were answered with success is there while web1 is away');
$node{web1}->start->ready;
# 504 until its subscriber has found it.
poll(60, 'web1 takes events again', sub { $node{web1}->get('/sn/log?topic=a&id=again')->{status} == 204 });
arrives('at.web1', 'again');
halt();

# --- Another Kafka cluster ---

machines('web1');
my $web = $node{web1};
serve('web1', $cluster, 0)->ready;
my $old = subscriber('old', 'web1', $two);
is($web->get('/sn/log?topic=a&id=first')->{status}, 204, 'an event before the second one is there');
arrives('old', 'first');
my $new = subscriber('new', 'web1', $cluster);
is($web->get('/sn/log?topic=a&id=second')->{status}, 204, 'an event when both are there');
my %sg;
for my $id (qw(first second)) {
    for my $name (qw(old new)) {
        my ($event) = arrives($name, $id);
        $sg{$id}{ $event->{sg} }++;
    }
    is_deeply([ values %{ $sg{$id} } ], [2], "$id is in both, with the same sg");
}
$old->stop;
configure('web1', $cluster, 1);
$web->reload;
$web->ready;
poll(30, 'nothing is held for the old one', sub { join(' ', map { $_->{name} } @{ $web->status->{subscribers} }) eq 'new' });
is($web->get('/sn/log?topic=a&id=third')->{status}, 204, 'an event when the old one has gone');
arrives('new', 'third');
is_deeply([ sort(arrived('old')) ], [qw(first second)], 'and it is in the new one alone');
halt();

my @unused = map { "$_->{on}: $_->{file}" } grep { !$used{$_} } map { @$_ } values %page;
is_deeply(\@unused, [], 'each block of the page was loaded');
done_testing;

# --- the page ---

# Its sections: title => blocks, each {kind, on (machines), file, text}.
sub sections {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "$file: $!\n";
    my $text = do { local $/; <$in> };
    my %sections;
    for my $section (split /^## /m, $text) {
        my ($title) = split /\n/, $section;
        while ($section =~ /^( *)```(\w+)\n(.*?)^\1```$/msg) {
            my ($indent, $kind, $block) = ($1, $2, $3);
            $block =~ s/^\Q$indent\E//mg;
            my ($on, $path) = $block =~ /\A# ([\w, ]+?)(?:: (\S+))?\n/ or die "$file: a block of \"$title\" does not say where it is\n";
            push @{ $sections{$title} }, { kind => $kind, on => [ split /, /, $on ], file => $path // '', text => $block };
        }
    }
    return %sections;
}

# A section's block of a kind for a machine; the n-th, if there are several.
sub block {
    my ($section, $kind, $name, $n) = @_;
    my @found = grep { my $it = $_; $it->{kind} eq $kind && grep { $_ eq $name } @{ $it->{on} } } @$section;
    my $block = $found[ $n // 0 ] // die "docs/how-to.md: no $kind for $name\n";
    $used{$block} = 1;
    return $block->{text};
}

# --- machines ---

sub machines {
    %node = map { $_ => Sparkngin->new } @_;
}

sub halt {
    $_->halt for values %node;
    $_->finish(done => 0) for values %node;
}

# nginx.conf around a block.
sub configure {
    my ($name, $section, $n) = @_;
    my $t = $node{$name};
    my $text = block($section, 'nginx', $name, $n);
    my $own = $text =~ /sparkngin_root_loc/ ? 'sparkngin_buf_path %%DIR%%/ring;' : '';
    $own .= ' sparkngin_listen 127.0.0.1:%%PORT_live%%;' if $own && $text !~ /sparkngin_listen/;
    $text =~ s/sparkngin_listen 127\.0\.0\.1:7000 feed=\*:7001/sparkngin_listen 127.0.0.1:%%PORT_live%% feed=127.0.0.1:%%PORT_feed%%/;
    $text =~ s/\blisten \d+( ssl)?;/'listen 127.0.0.1:%%PORT%%' . ($1 \/\/ '') . ';'/e;
    $text =~ s{set_real_ip_from 10\.0\.0\.0/8}{set_real_ip_from 127.0.0.0/8};
    $text =~ s/\bserver (web\d):8080/'server 127.0.0.1:' . $node{$1}->port/eg;
    $t->conf(whole => "%%GLOBALS%%\nevents { worker_connections 1024; }\nhttp {\n%%HTTP%%\n$own\n$text}\n");
    my ($code, $said) = $t->check;
    is($code, 0, "$name: nginx -t") or diag($said);
    return $t;
}

sub serve { return configure(@_)->start }

# Waits until it says several times in a row, so by each of its workers, that it takes events: the balancer leaves a machine alone for a
# while that refused one.
sub steady {
    my ($t) = @_;
    poll(30, 'each worker takes events', sub { !grep { $t->get('/sn/imok')->{status} != 200 } 1 .. 12 });
}

# Runs a section's commands, each on its machine.
sub commands {
    my ($section) = @_;
    for my $block (grep { $_->{kind} eq 'sh' } @$section) {
        $used{$block} = 1;
        my $t = $node{ $block->{on}[0] };
        my $text = $block->{text} =~ s{/etc/(?:nginx|sparkngin)}{$t->{dir}}gr =~ s/^sparkngin /$Sparkngin::PROGRAM /mgr;
        my ($code, $said) = $t->run('/bin/sh', '-e', '-c', $text);
        is($code, 0, "commands on $block->{on}[0]") or diag($said);
    }
}

sub pass_on {
    my ($file, $from, $to) = @_;
    $node{$to}->write_file($file, $node{$from}->read_file($file));
}

# A subscriber by a section's settings for a machine, as they are but for Kafka, in whose place is a file of lines; edit changes $_.
sub subscriber {
    my ($as, $name, $section, $edit) = @_;
    my $t = $node{$name};
    local $_ = block($section, 'toml', $name);
    s{tcp://(web\d):7001}{'tcp://127.0.0.1:' . $node{$1}->port('feed')}eg;
    s{ipc:///var/lib/nginx/sparkngin}{ipc://$t->{dir}/ring}g;
    s{/etc/sparkngin}{$t->{dir}}g;
    $edit->() if $edit;
    my $file = $t->write_file("$as.toml", $_);
    my ($code, $said) = $t->run($Sparkngin::PROGRAM, 'subscribe', '--config', $file, '-t');
    is($code, 0, "$name: sparkngin subscribe -t") or diag($said);
    s/^(?:kafka|http) = .*\n//mg;
    s/^\[property\].*//ms;
    $file = $t->write_file("$as.toml", "$_\nhttp = \"off\"\nlines = \"$t->{dir}/$as.lines\"\nfields = \"%id% %ip% %sg%\"\nlog = \"text\"\n");
    return $t->daemon(name => "subscriber.$as", command => [ $Sparkngin::PROGRAM, 'subscribe', '--config', $file ]);
}

# --- what became of events ---

# What a subscriber has written, whole lines alone.
sub lines {
    my ($as) = @_;
    return map { $json->decode($_) } map { $_->read_file("$as.lines") =~ /^(\{.*\})\n/mg } values %node;
}

sub arrived { return map { $_->{id} } lines(@_) }

# Waits for an event at a subscriber, or at one of several; the event.
sub arrives {
    my ($as, $id) = @_;
    my @as = ref $as ? @$as : $as;
    my $event = poll(60, "$id arrives at @as", sub { (grep { $_->{id} eq $id } map { lines($_) } @as)[0] });
    pass("$id arrives at @as");
    return $event;
}

sub books {
    my ($name, $subscriber) = @_;
    my $status = eval { $node{$name}->status } or return {};
    return (grep { $_->{name} eq $subscriber } @{ $status->{subscribers} })[0] // {};
}
