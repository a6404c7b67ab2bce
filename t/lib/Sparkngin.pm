package Sparkngin;

# One test's world: a directory, ports, an nginx with the module, the daemons beside it, and at the end the
# assertions that every test owes: no [alert], no panic, no signal but the test's own, no process left.
#
#     my $t = Sparkngin->new;
#     $t->conf(http => <<'CONF', location => 'sparkngin_root_loc;');
#         sparkngin_listen %%PORT_live%%;
#         sparkngin_buf_path %%DIR%%/ring;
#     CONF
#     $t->start;
#     is($t->get('/sn/log?topic=a')->{status}, 204, 'an event is taken');
#     $t->finish;
#
# In a conf, %%DIR%% is the test's directory, %%PORT%% nginx's port, %%PORT_name%% any other, %%MODULE%% the module.

use strict;
use warnings;
use Cwd 'abs_path';
use Exporter 'import';
use File::Basename 'dirname';
use File::Path 'make_path';
use File::Temp;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Time::HiRes 'time';
use Sparkngin::Daemon qw(alive children reap become_reaper);
use Sparkngin::Http qw(exchange request_text encode);
use Sparkngin::Poll qw(poll pause_until);
use Sparkngin::Port 'free_port';

our @EXPORT = qw(poll pause_until encode alive children);

our $ROOT = abs_path(dirname(__FILE__) . '/../..');
our $BUILD = $ENV{TEST_BUILD} // "$ROOT/build";
our ($NGINX) = grep { defined && -x } $ENV{TEST_NGINX}, '/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/local/nginx/sbin/nginx';
our $PROGRAM = "$BUILD/sparkngin";
our $PYTHON = '/usr/bin/python3';    # Debian's: that one has Debian's pyzmq
my @worlds;    # every world of this process, for the END block

sub new {
    my ($class, %opt) = @_;
    die "no nginx: run `make deps` first\n" if !$NGINX;
    for my $file ("$BUILD/ngx_http_sparkngin_module.so", $opt{program} // 1 ? $PROGRAM : ()) {
        die "$file is missing: run `make build` first\n" if !-e $file;
    }
    become_reaper();
    $SIG{$_} = sub { exit 130 } for qw(INT TERM HUP PIPE);
    # Not below the clone: workers run as another user, who may not enter it, and a unix socket's path has to
    # fit into 108 bytes.
    my $dir = File::Temp->newdir('sn-XXXXXX', TMPDIR => 1);
    chmod 0755, "$dir";
    my %self = (dir => "$dir", tempdir => $dir, owner => $$, ports => {}, daemons => [], killed => {});
    my $self = bless \%self, $class;
    push @worlds, $self;
    return $self;
}

sub dir { $_[0]{dir} }

sub port {
    my ($self, $name) = @_;
    return $self->{ports}{ $name // '' } //= free_port();
}

sub path {
    my ($self, $name) = @_;
    return $name =~ m{^/} ? $name : "$self->{dir}/$name";
}

sub write_file {
    my ($self, $name, $text, $mode) = @_;
    my $path = $self->path($name);
    make_path(dirname $path);
    open my $out, '>:raw', $path or die "$path: $!\n";
    print $out $text;
    close $out or die "$path: $!\n";
    chmod $mode, $path if defined $mode;
    return $path;
}

sub read_file {
    my ($self, $name) = @_;
    open my $in, '<:raw', $self->path($name) or return '';
    local $/;
    return <$in> // '';
}

# --- nginx: its conf ---

sub fill {
    my ($self, $text) = @_;
    $text =~ s/%%DIR%%/$self->{dir}/g;
    my $module = $self->{module} // "$BUILD/ngx_http_sparkngin_module.so";
    $text =~ s/%%MODULE%%/$module/g;
    $text =~ s/%%PORT(?:_(\w+))?%%/$self->port($1)/ge;
    return $text;
}

# conf(main => ..., http => ..., server => ..., location => ...): each a text for that place; `location` is what
# stands in `location /sn/ { }`, which is left out when it is not given. Or conf(whole => text), with %%GLOBALS%%
# and %%HTTP%% for what every test needs. workers => n, 2 unless told. user => name, www-data where root runs this.
sub conf {
    my ($self, %part) = @_;
    $part{$_} //= '' for qw(main http server);
    my $location = defined $part{location} ? "location /sn/ { $part{location} }" : '';
    my $whole = $part{whole} // <<"CONF";
%%GLOBALS%%
$part{main}
events { worker_connections 4096; }
http {
    %%HTTP%%
    $part{http}
    server {
        listen 127.0.0.1:%%PORT%%;
        server_name localhost;
        $part{server}
        $location
    }
}
CONF
    my $user = $> == 0 ? 'user ' . ($part{user} // 'www-data') . ';' : '';
    my $workers = $self->{wanted_workers} = $part{workers} // 2;
    my $level = $part{error_level} // 'info';
    my $globals = <<"CONF";
load_module %%MODULE%%;
$user
worker_processes $workers;
worker_shutdown_timeout 10s;
pid %%DIR%%/nginx.pid;
error_log %%DIR%%/error.log $level;
CONF
    my $http = join "\n    ", 'access_log off;', 'keepalive_requests 100000000;',
        'client_body_temp_path %%DIR%%/client_body;', map { "${_}_temp_path %%DIR%%/$_;" } qw(proxy fastcgi uwsgi scgi);
    $whole =~ s/%%GLOBALS%%/$globals/;
    $whole =~ s/%%HTTP%%/$http/;
    return $self->write_file('nginx.conf', $self->fill($whole));
}

sub nginx_command {
    my ($self, @more) = @_;
    my $dir = $self->{dir};
    return ($NGINX, '-p', "$dir/", '-e', "$dir/error.log", '-c', "$dir/nginx.conf", @more);
}

# What `nginx -t` says to the conf: (exit code, all it printed).
sub check {
    my ($self) = @_;
    return $self->run($self->nginx_command('-t'));
}

# Runs a command to its end: (exit code, output and errors together). A hash first: options of a daemon.
sub run {
    my ($self, @command) = @_;
    my %opt = ref $command[0] ? %{ shift @command } : ();
    my $log = "$self->{dir}/run." . ++$self->{runs};
    my $daemon = Sparkngin::Daemon->new(name => "@command", log => $log, command => \@command, %opt);
    my $code = $daemon->ended($opt{seconds} // 60);
    my $text = $self->read_file($log);
    unlink $log;
    return ($code, $text);
}

# --- nginx: its processes ---

# Starts nginx as its users do, as a daemon, and waits until it answers on its port; it has daemonized when the
# command returns. (Without a daemon of its own a master takes no USR2.)
sub start {
    my ($self, %opt) = @_;
    # The command returns before its nginx has written it, and one that was killed left its own.
    unlink "$self->{dir}/nginx.pid";
    my ($code, $text) = $self->run({ env => $opt{env} // {} }, $self->nginx_command);
    die "nginx did not start ($code): $text" . $self->error_log if $code;
    my $pid = poll(5, 'nginx.pid is written', sub { $self->read_file('nginx.pid') =~ /^(\d+)\n/ && $1 });
    $self->adopt($pid);
    poll($opt{seconds} // 20, 'nginx answers', sub {
        $self->complete($self->workers) && IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->port);
    });
    return $self;
}

# Takes a running master as this test's nginx.
sub adopt {
    my ($self, $pid) = @_;
    $self->{nginx} = bless { name => 'nginx', pid => $pid, log => "$self->{dir}/error.log" }, 'Sparkngin::Daemon';
    push @{ $self->{daemons} }, $self->{nginx};
}

# Waits until an event sent now would be taken, by whichever worker.
sub ready {
    my ($self, $target) = @_;
    poll(20, 'all workers run', sub { $self->complete($self->workers) });
    poll(20, 'sparkngin is ready', sub { $self->get($target // '/sn/imok')->{status} == 200 });
    return $self;
}

# Whether these are as many workers as the conf wants: a master starts them one after another.
sub complete {
    my ($self, @workers) = @_;
    return @workers >= ($self->{wanted_workers} =~ /^\d+$/ ? $self->{wanted_workers} : 1);
}

sub master { $_[0]{nginx}->pid }

sub title {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/cmdline" or return '';
    local $/;
    my $title = <$in> // '';
    $title =~ s/\0.*//s;
    return $title;
}

# The workers of the master, or of another one, that are not on their way out; lowest pid first.
sub workers {
    my ($self, $master) = @_;
    return grep { title($_) eq 'nginx: worker process' } children($master // $self->master);
}

# Processes of nginx whose master was killed: the test has adopted them.
sub orphans {
    my ($self) = @_;
    my %known = map { $_->{pid} => 1 } @{ $self->{daemons} };
    return grep { !$known{$_} && title($_) =~ /^nginx: / } children($$);
}

sub kill9 {
    my ($self, @pids) = @_;
    for my $pid (@pids) {
        $self->{killed}{$pid} = 1;
        kill KILL => $pid;
    }
    for my $pid (@pids) { poll(5, "pid $pid is gone", sub { !alive($pid) }) }
}

# The worker that hosts the publisher: who listens on the live port, as the kernel sees it.
sub publisher_worker {
    my ($self, $port) = @_;
    my $hex = sprintf '%04X', $port // $self->port('live');
    my %listening;
    for my $line (split /\n/, $self->read_file('/proc/net/tcp')) {
        my @f = split ' ', $line;
        $listening{"socket:[$f[9]]"} = 1 if @f > 9 && $f[1] =~ /:$hex$/ && $f[3] eq '0A';
    }
    for my $pid (children($self->master), $self->orphans) {
        return $pid if grep { $listening{ readlink $_ // '' } } glob "/proc/$pid/fd/*";
    }
    return;
}

# Reloads, waits until the new configuration's workers run and the old one's have left.
sub reload {
    my ($self, %opt) = @_;
    my @before = $self->workers;
    my %before = map { $_ => 1 } @before;
    kill HUP => $self->master;
    my $seconds = $opt{seconds} // 20;
    poll($seconds, 'workers of the new configuration run', sub { $self->complete(grep { !$before{$_} } $self->workers) });
    poll($seconds, 'workers of the old configuration have left', sub { !grep { alive($_) } @before }) if $opt{wait} // 1;
    return $self;
}

# Binary upgrade: USR2, the new master has workers, QUIT to the old one. Returns the new master's pid.
sub upgrade {
    my ($self) = @_;
    my $old = $self->{nginx};
    kill USR2 => $old->pid;
    my $new = poll(20, 'the new master has workers', sub {
        my ($master) = grep { title($_) =~ /^nginx: master/ } children($old->pid);
        return $master && $self->complete($self->workers($master)) && $master;
    });
    $old->signal('QUIT');
    $old->ended(20);
    $self->adopt($new);
    return $new;
}

sub stop {
    my ($self, $signal, $seconds) = @_;
    return $self->{nginx}->stop($signal // 'QUIT', $seconds);
}

sub error_log { $_[0]->read_file('error.log') }

# Waits until error.log has a line.
sub logged {
    my ($self, $pattern, $seconds) = @_;
    return poll($seconds // 10, "error.log says $pattern", sub { $self->error_log =~ $pattern });
}

# --- HTTP: answers are {status, headers (lower-case names), body, raw}; status 0 is none ---

sub raw {
    my ($self, $bytes, %opt) = @_;
    return exchange($opt{port} // $self->port, $bytes, %opt);
}

# headers => [name, value, ...], body => bytes, close => 0 to keep the connection, port => another's
sub request {
    my ($self, $method, $target, %opt) = @_;
    return $self->raw(request_text($method, $target, %opt), %opt);
}

sub get {
    my ($self, $target, %opt) = @_;
    return $self->request('GET', $target, %opt);
}

sub post {
    my ($self, $target, $body, %opt) = @_;
    return $self->request('POST', $target, body => $body, %opt);
}

# /status as data; dies with the answer when it is none.
sub status {
    my ($self, $target) = @_;
    my $answer = $self->get($target // '/sn/status');
    return eval { JSON::PP->new->decode($answer->{body}) } // die "no status: $answer->{raw}\n";
}

# --- processes beside nginx ---

# daemon(name => ..., command => [...], log => ..., env => {...}): started now, ended by `finish` at the latest.
sub daemon {
    my ($self, %opt) = @_;
    $opt{log} //= "$self->{dir}/$opt{name}.log";
    my $daemon = Sparkngin::Daemon->new(%opt);
    push @{ $self->{daemons} }, $daemon;
    return $daemon;
}

# --- the end ---

# What a log may not say. The test's own kills are known by their pids.
sub complaints {
    my ($self) = @_;
    my $own = join '|', keys %{ $self->{killed} }, 0;
    my @logs = ($self->error_log, map { $_->log_text } grep { !$_->{foreign} && $_->{name} ne 'nginx' } @{ $self->{daemons} });
    return grep {
        /\[alert\]|\[emerg\]|another nginx|panick|AddressSanitizer|ThreadSanitizer|exited on signal|core dumped/
            && !/process (?:$own) exited on signal 9/
            && !($self->{expected} && $_ =~ $self->{expected})
    } map { split /\n/ } @logs;
}

sub halt {
    my ($self) = @_;
    my %signal = (nginx => 'QUIT', kafka => 'KILL');    # which nobody asks anything any more
    $_->stop($signal{ $_->{name} } // 'TERM') for reverse @{ $self->{daemons} };
    kill QUIT => $self->orphans;
}

# Stops everything, makes the assertions that every test owes, and ends the plan unless done => 0.
sub finish {
    my ($self, %opt) = @_;
    eval { $self->halt; 1 } or fail("everything stops: $@");
    is(join("\n", $self->complaints), '', 'no [alert], no panic, no signal but the test\'s own');
    eval { poll(10, 'the rest ends', \&reap) };
    is(join(' ', map { "$_ (" . title($_) . ')' } children($$)), '', 'every process has ended');
    $self->{finished} = 1;
    done_testing() if $opt{done} // 1;
}

# Also when the test died: nothing stays behind, and the logs of a failure are kept below build/t.
sub leave {
    my ($self) = @_;
    return if $self->{left}++ || $self->{owner} != $$;
    eval {
        poll(10, 'the rest ends', sub { kill KILL => $_ for children($$); reap() });
    };
    return if $self->{finished} && Test::More->builder->is_passing;
    my ($name) = $0 =~ m{([^/]+?)(?:\.t)?$};
    my $kept = "$BUILD/t/$name";
    make_path($kept);
    for my $file (grep { -f && -s _ < 20_000_000 } glob "$self->{dir}/*") { system 'cp', $file, $kept }
    diag("logs are in $kept");
}

END {
    my $code = $?;
    $_->leave for @worlds;
    @worlds = ();
    $? = $code;
}

1;
