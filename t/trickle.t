#!/usr/bin/perl

# Few events never fill the ring: reload after reload with Kafka away and an event or two between them, on the smallest
# ring; and 64 workers that each took some, reloaded, on the smallest ring for them. No 503, nothing is overwritten.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Sparkngin::Spine;

my %rows = (
    reloads => { size => '512k', workers => 2, reloads => 8, load => { rate => 5, connections => 4 }, events => 1 },
    workers => { size => '16m', workers => 64, reloads => 1, load => { rate => 500, connections => 512 }, events => 500 },
);
for my $name (sort keys %rows) {
    next if !Sparkngin::Row::chosen($name);
    my %row = %{ $rows{$name} };
    my $t = Sparkngin::Spine->new(buf_size => $row{size}, workers => $row{workers}, policy => 'reject');
    my $reloads = $ENV{COUNT} // $row{reloads};
    $t->{kafka}->kill9;
    my $load = $t->load(%{ $row{load} });
    $load->wait_more($row{events});
    for (1 .. $reloads) {
        $t->reload(seconds => 60);
        $load->wait_more($row{events});
    }
    $load->stop;
    is(join(' ', grep { !/^(?:204|0)$/ } map { $_->{status} } $load->events), '', "$name: nobody was refused");
    is($t->books->{in_kafka}, 0, "$name: while Kafka was away");
    $t->{kafka}->start->wait;
    my $found = $t->audit($load, name => $name, surplus => 'none');
    $t->figures('5b', fault => $name, strikes => $reloads, %{ $found->{figures} });
    $t->close_books;
    $t->finish(done => 0);
}
done_testing();
