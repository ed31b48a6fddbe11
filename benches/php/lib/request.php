<?php
/**
 * One recorded page as a request of a web server: {@see Outage} sends them to php-fpm.
 *
 * Its body is {"page": FILE, "options": {…}, "label": …}; FILE holds the operations and definitions of a page, serialized. With "tier" it
 * only asks who serves, with "purge" it purges the definitions. With "compute" the values that it stores cost so many microseconds each, the page twenty times that, and
 * the first is stored under a lock. With "redis", host:port, the store is {@see RedisStore} and no failure ends the request.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

foreach (['lib/recording', 'lib/replay', 'stores/store', 'stores/larder', 'stores/redis', 'stores/computing'] as $file) {
    require_once dirname(__DIR__) . "/{$file}.php";
}

$work = json_decode(file_get_contents('php://input'), true, 8, JSON_THROW_ON_ERROR);
if (isset($work['tier'])) {
    echo (new LarderStore($work['options'], []))->tier();
    return;
}
['ops' => $ops, 'definitions' => $definitions] = unserialize(file_get_contents($work['page']));
$store = null;
$failed = '';
$began = hrtime(true);
try {
    $store = isset($work['redis']) ? new RedisStore($work['redis'], false) : new LarderStore($work['options'], $definitions, true);
    $computing = isset($work['compute']) ? new ComputingStore($store, $work['compute']) : null;
    $measured = Replay::play($ops, $computing ?? $store);
    array_map($store->purge(...), isset($work['purge']) ? $definitions : []);
} catch (\RedisException $error) {
    $failed = $error->getMessage();
    $measured = ['nanoseconds' => hrtime(true) - $began, 'reads' => 0, 'hits' => 0, 'writes' => 0];
}
if (isset($computing)) {
    // What the store took, without what the application did.
    $measured['nanoseconds'] -= $computing->computed;
    usleep(20 * $work['compute']);
}
$larder = $store instanceof LarderStore;
echo json_encode($measured + [
    'failed' => $failed,
    'purged' => isset($work['purge']),
    'refused' => $larder ? $store->refused : 0,
    'events' => $larder ? $store->events() : [],
    'label' => $work['label'],
], JSON_THROW_ON_ERROR);
