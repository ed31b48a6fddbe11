<?php
/**
 * A busy fleet: what a page pays for what others change.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once dirname(__DIR__) . '/lib/fleet.php';

return function (Bench $bench): void {
    [$workers, $idle] = [(int)(getenv('WORKERS') ?: 64), (float)(getenv('IDLE') ?: 2)];
    $bench->begin("fleet: {$workers} processes of one node, each idle for {$idle} s between two pages, while others write");
    $socket = "{$bench->directory}/redis.sock";
    $server = "redis+unix://{$socket}?db=";
    $tier = ['node_tier' => "local:{$bench->directory}/fleet.tier"];
    $starts = [
        'Larder' => fn() => $bench->larder("{$server}6"),
        'Larder, node tier' => fn() => $bench->larder("{$server}7", $tier),
        'phpredis with igbinary' => fn() => $bench->phpredis($socket, 'igbinary'),
    ];
    // What the tier is before does not matter to it: writers are on other nodes.
    $writers = ['Larder, node tier' => fn() => $bench->larder("{$server}7")] + $starts;
    $fleets = $begun = [];
    foreach ($starts as $label => $start) {
        $larder = $label !== 'phpredis with igbinary';
        // A page of core's store costs the same whoever else there is.
        $fleets[$label] = new Fleet($bench, new Server($socket), $start, $writers[$label], $larder ? $workers : 4, $idle);
        $fleets[$label]->measure($larder ? [0, 100, 500, 1000, 5000] : [1000], $bench->screen);
        $larder && $fleets[$label]->measureFewer(1000);
        $larder && $begun[] = [$label, ...$fleets[$label]->beginAtOnce(3)];
        $fleets[$label]->end();
    }
    $rows = [];
    foreach ($fleets as $label => $fleet) {
        array_push($rows, [], ...$fleet->rows($label));
    }
    $bench->screen->line();
    $bench->screen->table(['store', 'processes', 'changes a second', 'from memory', 'round trips', 'server', 'bytes', 'store time: median', 'p95', 'server, a change'], array_slice($rows, 1));
    $bench->screen->line('Of an average reading page. The processes take turns, so that each command and byte at the server is that of one page: the');
    $bench->screen->line('store time is without waiting for a processor. "server" is the time in commands as the server counts it, of the median page.');
    $bench->screen->line();
    $bench->screen->table(["{$workers} new processes at once", 'the first page of all', 'the second', 'the third'], $begun);
    $bench->screen->line('What the server sent and was sent for all of them, and the p95 of their store time, with all of them on this machine.');
    $targets = new Targets();
    foreach (['Larder', 'Larder, node tier'] as $label) {
        $quiet = $fleets[$label]->at(0);
        $busy = $fleets[$label]->at(1000);
        $fewer = $fleets[$label]->at(1000, intdiv($workers, 4));
        $targets
            ->atLeast("{$label}, 1,000 changes a second: from memory, of the share without", 100 * $busy['memory'] / $quiet['memory'], 98, '%')
            ->atMost("{$label}: round trips", $busy['trips'], 1.2, '')
            ->atMost("{$label}: server time, to that without changes", $busy['server'] / $quiet['server'], 2, 'x')
            ->atMost("{$label}: bytes, to those without changes", $busy['bytes'] / $quiet['bytes'], 2, 'x')
            ->atMost("{$label}: bytes, to those of a quarter of the processes", $busy['bytes'] / $fewer['bytes'], 1.1, 'x');
    }
    $targets->show($bench->screen);
    (new Model($fleets, $idle))->show($bench);
    (new Candidates($bench->recording(), $workers, $idle))->show($bench->screen);
};
