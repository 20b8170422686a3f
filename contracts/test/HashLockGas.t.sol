// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HashLock} from "../src/HashLock.sol";
import {HashLockFixture} from "./support/HashLockFixture.sol";

/// @notice What each call costs with cold storage, the transaction's own cost aside.
contract HashLockGasTest is HashLockFixture {
    HashLock.Lock[] private _tokens;
    HashLock.Lock[] private _coins;
    bytes32[] private _secrets;

    function setUp() external {
        _fixture();
        for (uint256 i = 0; i < 10; ++i) {
            _secrets.push(keccak256(abi.encode(i)));
            _tokens.push(_terms(address(token), _secrets[i], i));
            _coins.push(_terms(COIN, _secrets[i], i));
            _lock(_tokens[i]);
            _lock(_coins[i]);
        }
        vm.deal(bob, 1);
    }

    function test_lockTokens() external {
        _lock(_terms(address(token), SECRET, 99));
        vm.snapshotGasLastCall("HashLock", "lock tokens");
    }

    function test_lockCoins() external {
        _lock(_terms(COIN, SECRET, 99));
        vm.snapshotGasLastCall("HashLock", "lock coins");
    }

    function test_claimTokens() external {
        hashLock.claim(_tokens[0], _secrets[0]);
        vm.snapshotGasLastCall("HashLock", "claim tokens");
    }

    function test_claimCoins() external {
        hashLock.claim(_coins[0], _secrets[0]);
        vm.snapshotGasLastCall("HashLock", "claim coins");
    }

    function test_claimTen() external {
        hashLock.claimMany(_tokens, _secrets);
        vm.snapshotGasLastCall("HashLock", "claim tokens of 10 locks");
    }

    function test_refundTokens() external {
        vm.warp(START + 2 hours);
        hashLock.refund(_tokens[0]);
        vm.snapshotGasLastCall("HashLock", "refund tokens");
    }

    function test_refundCoins() external {
        vm.warp(START + 2 hours);
        hashLock.refund(_coins[0]);
        vm.snapshotGasLastCall("HashLock", "refund coins");
    }
}
