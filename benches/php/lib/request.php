<?php
/**
 * One recorded page as a request of a web server: {@see Outage} sends them to php-fpm.
 *
 * Its body is {"page": FILE, "options": {…}, "label": …}; FILE holds the operations and definitions of a page, serialized. With "tier" it
 * only asks who serves.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

foreach (['lib/recording', 'lib/replay', 'stores/store', 'stores/larder'] as $file) {
    require_once dirname(__DIR__) . "/{$file}.php";
}

$work = json_decode(file_get_contents('php://input'), true, 8, JSON_THROW_ON_ERROR);
if (isset($work['tier'])) {
    echo (new LarderStore($work['options'], []))->tier();
    return;
}
['ops' => $ops, 'definitions' => $definitions] = unserialize(file_get_contents($work['page']));
$store = new LarderStore($work['options'], $definitions, true);
echo json_encode(Replay::play($ops, $store) + ['refused' => $store->refused, 'news' => $store->news(), 'label' => $work['label']], JSON_THROW_ON_ERROR);
