<?php
/**
 * Users on a site with two web nodes, with one cache store after the other. `make experiment` runs it.
 *
 *     php experiment.php EXTENSION PROGRAMS LOCUST DIRECTORY RESULTS CHARTS
 *
 * PROGRAMS is the directory of `slow-mount` and `delay`, LOCUST the load tool, DIRECTORY for scratch files. The tables go to the file
 * RESULTS, as Markdown, and what `plot` draws to the file CHARTS. QUICK=1 in the environment makes it a matter of minutes.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

foreach (['recording', 'machine', 'screen', 'targets', 'slow_mount', 'redis_server', 'two_nodes', 'load', 'report'] as $file) {
    require_once __DIR__ . "/lib/{$file}.php";
}

/** Microseconds by which the answers of Redis are late, and that a request to the slow filesystem takes. */
const NETWORK = 300;

/** Milliseconds of CPU time that a page takes beside its caches: on the machine of README's figures a course page of Moodle takes 81 ms in all. */
const PAGE = 60;

/** Milliseconds of CPU time that a value takes which a page misses. */
const VALUE = 1;

/** Seconds that a user thinks between two pages, on the average; in the run with the restart less, so that each second has many pages. */
const THINK = 5;
const THINK_RESTART = 2;

/** Milliseconds within which 95 of 100 pages must be there; a store that is slower, or loses one page of a hundred, fails at that load. */
const LIMIT = 3000;

/** Users in the run with the restart, which comes after so many seconds. */
const USERS_RESTART = 40;
const RESTART = 12;

[, $extension, $programs, $locust, $directory, $results, $charts] = $argv;
$quick = (bool)getenv('QUICK');
[$loads, $rampUp, $seconds, $secondsRestart] = $quick ? [[20, 40], 4, 10, 24] : [[20, 30, 40, 80, 160], 8, 22, 32];
set_exception_handler(function (\Throwable $e): void {
    fwrite(STDERR, "\nexperiment: {$e->getMessage()}\n");
    exit(1);
});

// So that what was started ends with this process, however that ends.
pcntl_async_signals(true);
array_map(fn($signal) => pcntl_signal($signal, fn() => exit(130)), [SIGINT, SIGTERM]);

// What the pages do, as PHP files that OPcache keeps in shared memory; values that a page may have to store are files of their own.
$recording = new Recording(dirname(__DIR__) . '/data/moodle45');
mkdir("{$directory}/values");
$values = [];
foreach ($recording->serialized as $definition => $all) {
    foreach ($all as $key => $serialized) {
        $values[$definition][$key] = (string)array_sum(array_map('count', $values));
        file_put_contents("{$directory}/values/{$values[$definition][$key]}", $serialized);
    }
}
$write = function (string $name, array $ops) use ($directory): void {
    $definitions = array_values(array_unique(array_column($ops, 1)));
    // A page that misses nothing fills nothing.
    $operations = count(array_filter($ops, fn($op) => $op[0] !== 'fill'));
    file_put_contents("{$directory}/page{$name}.php", '<?php return ' . var_export(compact('ops', 'definitions', 'operations'), true) . ';');
};
foreach ($recording->pages as $number => $page) {
    $name = fn(array $op) => in_array($op[0], ['set', 'fill'], true) ? [$op[0], $op[1], $op[2], $values[$op[1]][$op[2]]] : [$op[0], $op[1], $op[2], null];
    $write((string)$number, array_map($name, $page->refilling($recording->values)));
}
$sets = [];
foreach ($values as $definition => $all) {
    foreach ($all as $key => $file) {
        $sets[] = ['set', $definition, (string)$key, $file];
    }
}
$write('fill', $sets);

$redis = new RedisServer("{$directory}/redis", "{$programs}/delay", NETWORK);
$mount = SlowMount::at("{$programs}/slow-mount", "{$directory}/slow", 2);
$modules = array_filter(['igbinary', 'redis'], fn($module) => is_file(ini_get('extension_dir') . "/{$module}.so"));
$settings = [...array_map(fn($module) => "extension={$module}", [...$modules, $extension]), 'zend_extension=opcache', 'opcache.enable=1',
    'opcache.interned_strings_buffer=32', 'opcache.max_accelerated_files=2000', 'memory_limit=512M', 'display_errors=1'];
$larder = fn(string $server, array $more = []) => ['kind' => 'larder', 'target' => ['server' => $server] + $more];
$shared = fn(string $disk) => $mount->paths[(int)substr($disk, -1)];
$far = $redis->far;
// What a node is configured with, from the path of its own disk; who answers, and whether all nodes see what one of them changes.
$stores = [
    'Larder, Redis' => [fn() => $larder("redis://{$far}/1"), 'redis', true],
    'Larder, Redis with TLS' => [fn() => $larder("rediss://{$redis->farTls}/2", ['ca_file' => $redis->authority]), 'redis', true],
    'phpredis' => [fn() => ['kind' => 'redis', 'target' => $far], 'redis', true],
    'phpredis, igbinary' => [fn() => ['kind' => 'redis-igbinary', 'target' => $far], 'redis', true],
    'Larder, dir: slow' => [fn($disk) => $larder("dir:{$shared($disk)}/larder", ['node_tier' => "local:{$disk}/tier"]), 'mount', true],
    "file store's way, slow" => [fn($disk) => ['kind' => 'file', 'target' => "{$shared($disk)}/files"], 'mount', true],
    'Larder, local:' => [fn($disk) => $larder("local:{$disk}/larder"), 'none', false],
    "file store's way, local disk" => [fn($disk) => ['kind' => 'file', 'target' => "{$disk}/files"], 'none', false],
];
$screen = new Screen();
$report = new Report($screen);
if ($mount === null) {
    $report->line('There is no FUSE here, so the stores on a slow filesystem are left out.');
    $stores = array_filter($stores, fn($store) => $store[1] !== 'mount');
}
$servers = [
    'redis' => $redis->counters(...),
    'mount' => fn() => ['server' => cpu_seconds($mount->pid()), 'requests' => $mount->requests(), 'messages' => 0, 'bytes' => 0],
    'none' => fn() => ['server' => 0, 'requests' => 0, 'messages' => 0, 'bytes' => 0],
];

putenv("EXPERIMENT={$directory}");
$numbers = array_flip(array_keys($stores));
$start = fn(string $label) => new TwoNodes("{$directory}/{$numbers[$label]}", __DIR__ . '/experiment/page.php', $settings, $stores[$label][0]);
$rounds = (float)$start('phpredis')->ask(0, 'rounds');
$rounds > 0 || throw new \RuntimeException('the work of a page could not be measured');
putenv('PAGE_ROUNDS=' . (int)(PAGE * $rounds));
putenv('VALUE_ROUNDS=' . (int)(VALUE * $rounds));

$report->title('Users on two web nodes, with one cache store after the other');
// Not the scratch directory.
$machine = preg_replace('/ · [^·]*$/u', '', machine($directory));
$report->line($machine);
$report->line(sprintf('%d recorded pages of Moodle 4.5; each takes %d ms of CPU time beside its caches, a value that it misses %d ms.', count($recording->pages), PAGE, VALUE));
$report->line(sprintf('Users come within %d s, then all load pages for %d s and think %d s in between. nginx, two php-fpm with %d workers each.', $rampUp, $seconds, THINK, TwoNodes::WORKERS));
$report->line(sprintf('Redis and each request to the slow filesystem are %.1f and %.1f ms away. All programs share this machine.', NETWORK / 1000, SlowMount::MICROSECONDS / 1000));

$nodes = [];
$fill = function (string $label) use ($stores, $recording, &$nodes): void {
    // Nodes that share nothing are filled one by one.
    foreach ($stores[$label][2] ? [0] : [0, 1] as $node) {
        $answer = $nodes[$label]->ask($node, 'fill');
        $answer === "done\n" || throw new \RuntimeException("{$label} could not be filled: {$answer}");
    }
    // Twice, for each worker to have met most pages.
    $pages = array_map(fn($page) => "page={$page}", array_keys($recording->pages));
    $nodes[$label]->together([...$pages, ...$pages]);
};
$run = function (string $label, int $users, int $seconds, float $think, callable $tick) use ($locust, $recording, $rampUp, $stores, $servers, &$nodes): Load {
    $count = fn() => ['node' => $nodes[$label]->seconds()] + $servers[$stores[$label][1]]();
    return Load::of([$locust, '-f', __DIR__ . '/experiment/users.py'], $nodes[$label]->url, count($recording->pages), $users, $rampUp, $seconds, $think, $count, $tick);
};

$restarted = array_keys(array_filter($stores, fn($store) => $store[1] === 'redis'));
$length = count($loads) * count($stores) * ($rampUp + $seconds) + count($restarted) * ($rampUp + $secondsRestart);
$done = 0;
$progress = fn(int $rampUp) => function (float $now) use (&$done, $length, $rampUp, $screen): void {
    $screen->progress('seconds', min($length, (int)($done + ($now < 0 ? 0 : $rampUp + $now))), $length);
};
$measured = $failedAt = [];
foreach ($loads as $users) {
    foreach (array_keys($stores) as $label) {
        if (!isset($failedAt[$label])) {
            if (!isset($nodes[$label])) {
                $nodes[$label] = $start($label);
                $fill($label);
            }
            $load = $measured[$label][$users] = $run($label, $users, $seconds, THINK, $progress($rampUp));
            if ($load->percentile(95) > LIMIT || $load->failed() > $load->pages() / 100) {
                $failedAt[$label] = $users;
            }
        }
        $done += $rampUp + $seconds;
    }
}
$gaps = [];
foreach ($restarted as $label) {
    $fill($label);
    $shown = $progress($rampUp);
    $fault = [RESTART => $redis->kill(...), RESTART + 1 => $redis->start(...)];
    $gaps[$label] = $run($label, USERS_RESTART, $secondsRestart, THINK_RESTART, function (float $now) use ($shown, &$fault): void {
        $shown($now);
        if ($fault && $now >= array_key_first($fault)) {
            array_shift($fault)();
        }
    });
    $done += $rampUp + $secondsRestart;
}
$screen->progress('seconds', $length, $length);

$milliseconds = fn(float $time) => $time >= Load::LOST ? 'lost' : ($time < 1000 ? sprintf('%.0f ms', $time) : sprintf('%.1f s', $time / 1000));
$cell = fn(?Load $load) => $load ? "{$milliseconds($load->percentile(50))} / {$milliseconds($load->percentile(95))}" : '';
$report->title('Response time of a page: half of them, and 95 of 100, are there within');
$report->table(['users', ...$loads, 'fails at'], array_map(fn($label) => [
    $label, ...array_map(fn($users) => $cell($measured[$label][$users] ?? null), $loads), isset($failedAt[$label]) ? (string)$failedAt[$label] : 'none of these',
], array_keys($stores)));
$report->line(sprintf('A store fails at a load where more than 5 of 100 pages take longer than %d s, or more than one is lost; then it is not asked with more users.', LIMIT / 1000));
$report->line('Nodes on `local:`, and on files of their own disk, do not see what the other changes: such a site has one node, or old values.');

$report->title('What a page costs, with ' . USERS_RESTART . ' users');
$report->table(['store', 'pages a second', 'CPU of the nodes', 'CPU of the server', 'commands or requests', 'messages', 'kB moved'], array_map(function ($label) use ($measured, $stores): array {
    $load = $measured[$label][USERS_RESTART] ?? null;
    $server = $stores[$label][1];
    return $load === null ? [$label, '', '', '', '', '', ''] : [
        $label,
        sprintf('%.1f', $load->pagesASecond()),
        sprintf('%.1f ms', 1000 * $load->aPage('node')),
        $server === 'none' ? '' : sprintf('%.2f ms', 1000 * $load->aPage('server')),
        $server === 'none' ? '' : sprintf('%.1f', $load->aPage('requests')),
        $server !== 'redis' ? '' : sprintf('%.1f', $load->aPage('messages')),
        $server !== 'redis' ? '' : sprintf('%.1f', $load->aPage('bytes') / 1000),
    ];
}, array_keys($stores)));
$report->line('Commands are those that Redis counts, with those that its scripts perform; messages are its reads from a socket: several commands may come in one. Bytes are those of Redis\' sockets, before TLS.');

$report->title(sprintf('%d users; Redis is killed after %d s and comes back empty a second later', USERS_RESTART, RESTART));
$slow = [];
$report->table(['store', 'usual pages a second', 'seconds with under half', 'pages lost', 'longest page'], array_map(function ($label) use ($gaps, $secondsRestart, $milliseconds, &$slow): array {
    $pages = $gaps[$label]->seconds($secondsRestart);
    $usual = array_sum(array_slice($pages, 0, RESTART)) / RESTART;
    // Where nothing was served before, nothing is usual.
    $slow[$label] = count(array_filter(array_slice($pages, RESTART), fn($number) => $number < $usual / 2 || $usual < 1));
    return [$label, sprintf('%.1f', $usual), (string)$slow[$label], (string)$gaps[$label]->failed(), $milliseconds($gaps[$label]->percentile(100))];
}, $restarted));
$report->line(sprintf('Here users think %d s.', THINK_RESTART));

$targets = new Targets();
foreach ($loads as $users) {
    $ninetyfive = array_map(fn($label) => ($measured[$label][$users] ?? null)?->percentile(95) ?? INF, array_combine(array_keys($stores), array_keys($stores)));
    $coherent = array_filter($ninetyfive, fn($label) => $stores[$label][2], ARRAY_FILTER_USE_KEY);
    asort($coherent);
    $targets->holds("{$users} users: the coherent store with the lowest p95", [strtok(array_key_first($coherent), ',')], ['Larder']);
}
[$ours, $theirs] = [$measured['Larder, Redis'][USERS_RESTART] ?? null, $measured['phpredis'][USERS_RESTART] ?? null];
if ($ours && $theirs) {
    $targets->atMost('commands, of those of phpredis', 100 * $ours->aPage('requests') / $theirs->aPage('requests'), 2, '%')
        ->atMost('messages, of those of phpredis', 100 * $ours->aPage('messages') / $theirs->aPage('messages'), 2, '%')
        ->atMost('bytes, of those of phpredis', 100 * $ours->aPage('bytes') / $theirs->aPage('bytes'), 2, '%');
}
$targets->atMost('restart of Redis: seconds with under half of the usual pages', $slow['Larder, Redis'], 2, 's');
$targets->show($screen);

$lines = fn(int $hundredths) => array_map(fn($label) => [
    'label' => $label,
    'points' => array_map(fn($users, $load) => [$users, $load->percentile($hundredths) / 1000], array_keys($measured[$label]), $measured[$label]),
], array_keys($measured));
$title = fn(string $what) => "{$what} of the pages are there, by users; {$machine}";
file_put_contents($charts, json_encode(array_map(fn($hundredths, $what) => [
    'name' => "experiment-p{$hundredths}", 'title' => $title($what), 'unit' => 'seconds', 'across' => 'users', 'lines' => $lines($hundredths),
], [50, 95, 99], ['Half', '95 of 100', '99 of 100']), JSON_THROW_ON_ERROR));
$report->save($results);
