package Sparkngin::Bench;

# What tools/bench and tools/flame send, and what it costs: the three loads, closed loops and constant rates, CPU seconds of
# each process by the kernel's account of its threads.
#
#     my $t = Sparkngin::Spine->new(Sparkngin::Bench::spine(buf_size => '256m'));
#     my $bench = Sparkngin::Bench->new($t, connections => 64);
#     $bench->warm;                                     # the ring has gone round once
#     my $of = $bench->measured(sub { $bench->wrk('w1', 3) });

use strict;
use warnings;
use Time::HiRes 'time';

our $QUERY = 'level=info&type=click&env=prod&timestamp=1700000000&ver=1&id=4711&data=hello%20world';
# A ring that went round once is like one in use: before, each page of the file costs its first writer a fault.
our $WARM = 'location /warm/ { client_max_body_size 16m; sparkngin_root_loc; }';

# What new of Sparkngin::Spine is given.
sub spine {
    my (%opt) = @_;
    my $server = delete $opt{server} // '';
    return (
        server => "client_body_buffer_size 256k; location = /empty { return 204; } $WARM $server",
        http => 'sparkngin_fields %time_stamp% %ip% %level% %topic% %user-agent% %referrer%;', %opt);
}

sub new {
    my ($class, $t, %opt) = @_;
    return bless { t => $t, %opt }, $class;
}

# A JSON object of so many bytes.
sub event {
    my ($bytes) = @_;
    my $head = '{"topic":"bench","level":"info","type":"click","user":"u-4711","page":"/some/where","n":17,"text":"';
    my $words = 'the quick brown fox jumps over the lazy dog ' x (1 + $bytes / 40);
    return substr($head . $words, 0, $bytes - 2) . '"}';
}

# A load's target, its body (none: GET), events in a request, and its name for people.
sub load {
    my ($name) = @_;
    return ("topic=bench&$QUERY", undef, 1, 'GET, 8 parameters') if $name eq 'w1';
    return ('', event(1024), 1, 'POST, 1 KB JSON') if $name eq 'w2';
    return ('', '[' . join(',', (event(200)) x 100) . ']', 100, 'POST, 100 events of 200 B') if $name eq 'w3';
    die "no load \"$name\"\n";
}

# Requests answered in so many seconds of a closed loop at /sn/log, or at {path}; each must have been a success.
sub wrk {
    my ($self, $name, $seconds, $path) = @_;
    my $t = $self->{t};
    my ($query, $body) = load($name);
    my @script = defined $body ? ('-s', $t->write_file("$name.lua", lua($body))) : ();
    my ($code, $text) = $t->run({ seconds => $seconds + 60 }, 'wrk', '-t1', "-c$self->{connections}", "-d${seconds}s", @script,
        'http://127.0.0.1:' . $t->port . ($path // '/sn/log') . "?$query");
    die "wrk: $text\n" if $code;
    die "not every request was taken: $text\n" if $text =~ /Non-2xx|Socket errors/;
    return $text =~ /(\d+) requests in/ ? $1 : die "wrk: $text\n";
}

sub lua {
    my ($body) = @_;
    return "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = [==[$body]==]\n";
}

# Fills the ring once, and has it drained.
sub warm {
    my ($self) = @_;
    my $t = $self->{t};
    my $body = $t->write_file('warm.json', '[' . join(',', (event(8000)) x 100) . ']');
    my $bytes = $t->status->{ring}{bytes};
    # As many bytes as the ring has, and an eighth; at a time what fits a quarter of it.
    my $left = int $bytes * 9 / 8 / 800_000 + 1;
    my $most = int($bytes / 4 / 800_000) || 1;
    while ($left > 0) {
        my ($some) = sort { $a <=> $b } $left, $most, 16;
        my ($code, $text) = $t->run({ seconds => 120 }, 'h2load', '--h1', '-t1', '-c1', '-n', $some, '-d', $body,
            '-H', 'Content-Type: application/json', 'http://127.0.0.1:' . $t->port . '/warm/log');
        die "h2load: $text\n" if $code || $text !~ /, $some succeeded/ || $text !~ /status codes: $some 2xx/;
        $t->drained(120);
        $left -= $some;
    }
}

# The answers to h2load at a constant rate ({rate}, none: a closed loop) over {connections} for {seconds} at {targets}:
# microseconds, sorted, and the seconds between the first and the last.
sub h2load {
    my ($self, %opt) = @_;
    my $t = $self->{t};
    my $clients = $opt{connections} // $self->{connections};
    my $log = "$t->{dir}/h2load.log";
    my $base = 'http://127.0.0.1:' . $t->port;
    my $list = $t->write_file('targets', join '', map { "$base$_\n" } @{ $opt{targets} });
    my @rate = $opt{rate} ? (sprintf '--rps=%.3f', $opt{rate} / $clients) : ();
    my ($code, $text) = $t->run({ seconds => $opt{seconds} + 120 }, 'h2load', '--h1', '-t1', "-c$clients", '-D', $opt{seconds},
        '-i', $list, "--log-file=$log", @rate);
    die "h2load: $text\n" if $code;
    my (@took, $first, $last);
    for (split /\n/, $t->read_file('h2load.log')) {
        my ($start, $status, $us) = split ' ';
        die "h2load was answered $status: $text\n" if $status != 204;
        push @took, $us;
        ($first, $last) = ($first // $start, $start);
    }
    unlink $log;
    die "h2load had no answer: $text\n" if @took < 2;
    @took = sort { $a <=> $b } @took;
    return (\@took, ($last - $first) / 1e6);
}

# CPU seconds so far: the workers' main threads, all their other threads (publisher, sync and ZeroMQ), the subscriber.
sub cpu {
    my ($self) = @_;
    my $t = $self->{t};
    my %cpu = (worker => 0, publisher => 0, subscriber => 0);
    for my $pid ($t->workers, $t->{subscriber}->pid) {
        my $kind = $pid == $t->{subscriber}->pid ? 'subscriber' : undef;
        for my $task (glob "/proc/$pid/task/*") {
            my ($tid) = $task =~ /(\d+)$/;
            my ($ns) = (eval { $t->read_file("$task/schedstat") } // '') =~ /^(\d+)/ or next;
            $cpu{ $kind // ($tid == $pid ? 'worker' : 'publisher') } += $ns / 1e9;
        }
    }
    return %cpu;
}

# What a load cost: {events} committed and in Kafka, {answered}, CPU seconds by process, {busy} seconds of load, {took} seconds
# until all was in Kafka. `load` returns how many requests were answered; each has {each} events, none with {empty}.
sub measured {
    my ($self, $load, %opt) = @_;
    my $t = $self->{t};
    my ($committed, %before) = ($t->books->{committed}, $self->cpu);
    my $start = time;
    my $answered = $load->();
    my ($busy, %busy) = (time - $start, $self->cpu);
    $t->drained(180) if !$opt{empty};
    my %after = $self->cpu;
    my %of = (answered => $answered, busy => $busy, took => time - $start, events => $t->books->{committed} - $committed);
    # The workers while requests came; the others until all was in Kafka.
    $of{worker} = $busy{worker} - $before{worker};
    $of{$_} = $after{$_} - $before{$_} for qw(publisher subscriber);
    my $wanted = $opt{empty} ? 0 : $answered * ($opt{each} // 1);
    die "$answered requests were taken, of $wanted events, and $of{events} events committed\n" if $of{events} < $wanted;
    return \%of;
}

# Dies unless every event that was committed is in Kafka, in these topics; how many there are.
sub all_in_kafka {
    my ($self, @topics) = @_;
    my $t = $self->{t};
    my $books = $t->books;
    my ($there, %partitions) = (0, $t->{kafka}->topics);
    my @ends = map { my $topic = $_; map { "$topic:$_:-1" } 0 .. $partitions{$topic} - 1 } grep { $partitions{$_} } @topics;
    # A broker of one test has deleted nothing: each partition begins at 0.
    while (my @some = splice @ends, 0, 500) {
        $there += $_ for $t->{kafka}->kcat('-Q', map { ('-t', $_) } @some) =~ /\[\d+\] offset (\d+)/g;
    }
    die "$books->{lost} events lost, $books->{dead_lettered} dead letters\n" if $books->{lost} || $books->{dead_lettered};
    die "$books->{committed} events committed, $there records in Kafka\n" if $there < $books->{committed};
    return $books->{committed};
}

# The largest memory so far, for people.
sub memory {
    my ($self) = @_;
    my $t = $self->{t};
    my $of = sub { my ($pid, $what) = @_; $t->read_file("/proc/$pid/status") =~ /^$what:\s+(\d+)/m ? $1 / 1024 : 0 };
    my ($worker) = sort { $b <=> $a } map { $of->($_, 'RssAnon') } $t->workers;
    return sprintf 'worker %.0f MB beside the ring, subscriber %.0f MB', $worker, $of->($t->{subscriber}->pid, 'VmHWM');
}

1;
