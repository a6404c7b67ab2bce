#!/usr/bin/perl
# A ring's file that is removed (rm) while it is used: it is told everywhere, another one takes the events at once, and what was
# in the removed one goes out.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sparkngin::Spine;
use Test::More;

for my $what ('ring.1', '*') {
    note($what);
    my $t = Sparkngin::Spine->new(kafka => 0, start => 0, buf_size => '4m');
    $t->start->ready;
    my $send = sub { is($t->get("/sn/log?topic=a&id=$_[0]")->{status}, 204, "event $_[0]") };
    $send->($_) for 1 .. 20;
    poll(10, 'there is a publisher', sub { $t->status->{publisher}{present} });
    for my $path (glob $t->path("ring/$what")) { unlink $path or die "unlink: $!\n" }

    $t->logged(qr/\[error\] .*ring\.1 is drained: its name was removed while it is used, and what is in it is lost if nginx ends or reloads/);
    poll(10, 'another file takes the events', sub { -e $t->path('ring/ring.2') && $t->get('/sn/imok')->{status} == 200 });
    poll(10, 'a worker has it', sub { $t->get('/sn/log?topic=a&id=new')->{status} == 204 });
    like($t->get('/sn/imok')->{body}, qr/^imok\n(?:.*\n)*removed: a ring's file was removed while it is used, what is in it is lost if nginx ends/, '/imok says it');
    is(scalar(grep { /^A ring's file was removed while it is used: what is in it is lost if nginx ends before/ } $t->status->{wrong}->@*), 1, '/status, too');
    like($t->get('/sn/status', headers => [Accept => 'text/html'])->{body}, qr/A ring&#39;s file was removed|A ring's file was removed/, 'and the page');

    my $to = $t->path('lines');
    $t->daemon(name => 'lines', command => [$Sparkngin::PROGRAM, 'subscribe', '--feed', $t->feed, '--lines', $to, '--name', $t->{name}, '--http', 'off', '--log', 'text']);
    my $ids = sub { return map { /"id":"(\w+)"/ ? $1 : () } split /\n/, -e $to ? $t->read_file($to) : '' };
    poll(20, 'all of it comes', sub { my %seen = map { $_ => 1 } $ids->(); !grep { !$seen{$_} } 1 .. 20, 'new' });
    is(scalar(grep { /^\d+$/ } $ids->()), 20, 'each event of the removed file came, once');
    $t->logged(qr/ring\.1 is drained and removed: region \w+, 20 events/);
    poll(10, '/imok says nothing of it any more', sub { $t->get('/sn/imok')->{body} !~ /removed/ });
    is(join(' ', grep { /publishes/ } $t->status->{wrong}->@*), '', 'the publisher is seen');
    is(scalar(() = $t->error_log =~ /live listens/g), 1, 'and it is the same');
    $t->reload;
    poll(10, 'the new workers publish', sub { $t->get('/sn/imok')->{body} eq "imok\n" });
    $t->finish(done => 0);
}
# Nobody finds it any more once who publishes it has ended: what was in it is counted.
{
    my $t = Sparkngin::Spine->new(kafka => 0, start => 0, buf_size => '4m');
    $t->start->ready;
    is($t->get("/sn/log?topic=a&id=$_")->{status}, 204, "event $_") for 1 .. 20;
    poll(10, 'there is a publisher', sub { $t->status->{publisher}{present} });
    unlink $t->path('ring/ring.1') or die "unlink: $!\n";
    poll(10, 'another file takes the events', sub { -e $t->path('ring/ring.2') && $t->get('/sn/imok')->{status} == 200 });
    $t->reload;
    $t->logged(qr/\[error\] .*ring\.1 is gone with its events, since its name was removed and who published it ends: 20 of "$t->{name}" are lost/);
    poll(10, 'they are counted', sub { $t->books->{lost} == 20 });
    is($t->books->{committed}, 20, 'and the books close');
    $t->finish(done => 0);
}
done_testing();
