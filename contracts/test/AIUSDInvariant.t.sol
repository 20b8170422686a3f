// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AIUSD} from "../src/AIUSD.sol";
import {AIUSDFixture} from "./support/AIUSDFixture.sol";

/// @notice Mints, burns, moves, freezes and pauses, and keeps books beside the contract's.
contract AIUSDHandler is AIUSDFixture {
    address[4] public people;
    uint256 public minted;
    uint256 public burned;

    constructor() {
        _fixture();
        people = [alice, bob, burner, freezer];
        minted = 2 * FUNDS;
    }

    function mint(uint256 who, uint256 value) external {
        value = _within(value, 0, FUNDS);
        bool may = !coin.paused() && !_frozen(_person(who));
        if (_try(minter, abi.encodeCall(AIUSD.mint, (_person(who), value)), may)) minted += value;
    }

    function burn(uint256 value) external {
        value = _within(value, 0, coin.balanceOf(burner));
        bool may = !coin.paused() && !_frozen(burner);
        if (_try(burner, abi.encodeCall(AIUSD.burn, (value)), may)) burned += value;
    }

    function move(uint256 from, uint256 to, uint256 value) external {
        value = _within(value, 0, coin.balanceOf(_person(from)));
        bool may = !coin.paused() && !_frozen(_person(from)) && !_frozen(_person(to));
        _try(_person(from), abi.encodeCall(coin.transfer, (_person(to), value)), may);
    }

    function freeze(uint256 who, uint256 time) external {
        (, uint48 inForce) = coin.freezeOf(_person(who));
        uint256 until = block.timestamp + _within(time, 1, coin.FREEZE_MAX());
        bool may = until >= inForce;
        _try(freezer, abi.encodeCall(AIUSD.freeze, (_person(who), ORDER, uint48(until))), may);
    }

    function unfreeze(uint256 who) external {
        _try(freezer, abi.encodeCall(AIUSD.unfreeze, (_person(who), ORDER)), _frozen(_person(who)));
    }

    function switchPause() external {
        bool paused = coin.paused();
        vm.prank(pauser);
        if (paused) coin.unpause();
        else coin.pause();
    }

    function pass(uint256 time) external {
        vm.warp(block.timestamp + _within(time, 1, 100 days));
    }

    function contracts() external view returns (AIUSD, address) {
        return (coin, pauser);
    }

    function sum() external view returns (uint256 total) {
        for (uint256 i = 0; i < people.length; ++i) {
            total += coin.balanceOf(people[i]);
        }
    }

    function _person(uint256 who) private view returns (address) {
        return people[who % people.length];
    }

    function _frozen(address account) private view returns (bool) {
        (, uint48 until) = coin.freezeOf(account);
        return until > block.timestamp;
    }

    /// @dev Does it, and insists that it was done exactly if the rules allow it.
    function _try(address caller, bytes memory call, bool may) private returns (bool done) {
        vm.prank(caller);
        (done,) = address(coin).call(call);
        _true(done == may, "done against the rules, or refused within them");
    }
}

contract AIUSDInvariantTest is AIUSDFixture {
    AIUSDHandler private _handler;

    function setUp() external {
        _handler = new AIUSDHandler();
        (coin, pauser) = _handler.contracts();
        bytes4[] memory steps = new bytes4[](7);
        steps[0] = AIUSDHandler.mint.selector;
        steps[1] = AIUSDHandler.burn.selector;
        steps[2] = AIUSDHandler.move.selector;
        steps[3] = AIUSDHandler.freeze.selector;
        steps[4] = AIUSDHandler.unfreeze.selector;
        steps[5] = AIUSDHandler.switchPause.selector;
        steps[6] = AIUSDHandler.pass.selector;
        _target(address(_handler), steps);
    }

    function invariant_supplyIsWhatWasMintedAndNotBurned() external view {
        _equal(coin.totalSupply(), _handler.minted() - _handler.burned(), "supply");
        _equal(coin.totalSupply(), _handler.sum(), "sum of balances");
    }

    /// @dev Whatever was ordered before, when its time is over every account moves its money again.
    function afterInvariant() external {
        vm.warp(block.timestamp + coin.FREEZE_MAX());
        if (coin.paused()) {
            vm.prank(pauser);
            coin.unpause();
        }
        for (uint256 i = 0; i < 4; ++i) {
            address person = _handler.people(i);
            uint256 all = coin.balanceOf(person);
            vm.prank(person);
            coin.transfer(address(0xbeef), all);
        }
        _equal(coin.balanceOf(address(0xbeef)), coin.totalSupply(), "everything moved");
    }
}
