// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AIUSD} from "../src/AIUSD.sol";
import {AIUSDFixture} from "./support/AIUSDFixture.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

contract AIUSDTest is AIUSDFixture {
    function setUp() external {
        _fixture();
    }

    function test_itIsADollarInMillionths() external view {
        _equal(coin.decimals(), 6, "decimals");
        _equal(keccak256(bytes(coin.name())), keccak256("aiUSD"), "name");
        _equal(keccak256(bytes(coin.symbol())), keccak256("aiUSD"), "symbol");
        _equal(keccak256(bytes(coin.version())), keccak256("1"), "version");
        bytes32 kind =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 domain =
            keccak256(abi.encode(kind, keccak256("aiUSD"), keccak256("1"), block.chainid, address(coin)));
        _equal(coin.DOMAIN_SEPARATOR(), domain, "domain");
    }

    function test_eachRoleDoesItsOwnAndNoMore() external {
        address[6] memory everyone = [admin, minter, burner, pauser, freezer, alice];
        bytes[6] memory calls = [
            abi.encodeCall(AIUSD.mint, (bob, 1)),
            abi.encodeCall(AIUSD.burn, (0)),
            abi.encodeCall(AIUSD.pause, ()),
            abi.encodeCall(AIUSD.unpause, ()),
            abi.encodeCall(AIUSD.freeze, (bob, ORDER, uint48(START + 1 days))),
            abi.encodeCall(AIUSD.unfreeze, (bob, ORDER))
        ];
        address[6] memory may = [minter, burner, pauser, pauser, freezer, freezer];
        for (uint256 i = 0; i < calls.length; ++i) {
            for (uint256 j = 0; j < everyone.length; ++j) {
                if (everyone[j] == may[i]) continue;
                bytes memory refusal =
                    abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, everyone[j]);
                _expectRefusal(everyone[j], calls[i], refusal);
            }
            vm.prank(may[i]);
            (bool done,) = address(coin).call(calls[i]);
            _true(done, "a role was refused");
        }
    }

    function test_theDeployerKeepsNothing() external view {
        (bool isAdmin,) = authority.hasRole(authority.ADMIN_ROLE(), admin);
        _true(isAdmin, "admin");
        for (uint64 role = 1; role <= 4; ++role) {
            (bool deployer,) = authority.hasRole(role, address(this));
            _true(!deployer, "deployer");
        }
    }

    function test_burningTakesTheBurnersOwn() external {
        vm.prank(alice);
        coin.transfer(burner, 7);
        vm.prank(burner);
        coin.burn(3);
        _equal(coin.balanceOf(burner), 4, "burner");
        _equal(coin.totalSupply(), 2 * FUNDS - 3, "supply");
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, burner, 4, 5));
        vm.prank(burner);
        coin.burn(5);
    }

    function test_aPauseStopsEverything() external {
        vm.prank(pauser);
        coin.pause();
        bytes memory paused = abi.encodeWithSelector(Pausable.EnforcedPause.selector);
        _expectRefusal(alice, abi.encodeCall(coin.transfer, (bob, 1)), paused);
        _expectRefusal(minter, abi.encodeCall(AIUSD.mint, (bob, 1)), paused);
        _expectRefusal(burner, abi.encodeCall(AIUSD.burn, (0)), paused);
        vm.prank(pauser);
        coin.unpause();
        vm.prank(alice);
        coin.transfer(bob, 1);
    }

    function test_aFrozenAccountNeitherSendsNorReceives() external {
        uint48 until = uint48(START + 1 days);
        vm.prank(bob);
        coin.approve(alice, 1);
        vm.prank(alice);
        coin.approve(bob, 1);
        vm.expectEmit(true, true, false, true, address(coin));
        emit AIUSD.Frozen(alice, ORDER, until, freezer);
        _freeze(alice, 1 days);
        (bytes32 order, uint48 end) = coin.freezeOf(alice);
        _equal(order, ORDER, "order");
        _equal(end, until, "end");
        bytes memory frozen = abi.encodeWithSelector(AIUSD.AccountFrozen.selector, alice, ORDER, until);
        _expectRefusal(alice, abi.encodeCall(coin.transfer, (bob, 1)), frozen);
        _expectRefusal(bob, abi.encodeCall(coin.transfer, (alice, 1)), frozen);
        _expectRefusal(bob, abi.encodeCall(coin.transferFrom, (alice, bob, 1)), frozen);
        _expectRefusal(alice, abi.encodeCall(coin.transferFrom, (bob, alice, 1)), frozen);
        _expectRefusal(minter, abi.encodeCall(AIUSD.mint, (alice, 1)), frozen);
        _equal(coin.balanceOf(alice), FUNDS, "kept");
    }

    function test_aFreezeEndsByItself() external {
        _freeze(alice, 1 days);
        vm.warp(START + 1 days);
        vm.prank(alice);
        coin.transfer(bob, FUNDS);
        (bytes32 order, uint48 until) = coin.freezeOf(alice);
        _equal(order, 0, "order");
        _equal(until, 0, "until");
        vm.expectRevert(abi.encodeWithSelector(AIUSD.FreezeUnknown.selector, alice, ORDER));
        vm.prank(freezer);
        coin.unfreeze(alice, ORDER);
    }

    function test_onlyTheOrderInForceIsLifted() external {
        _freeze(alice, 1 days);
        bytes32 other = keccak256("other order");
        vm.expectRevert(abi.encodeWithSelector(AIUSD.FreezeUnknown.selector, alice, other));
        vm.prank(freezer);
        coin.unfreeze(alice, other);
        vm.expectEmit(true, true, false, true, address(coin));
        emit AIUSD.Unfrozen(alice, ORDER, freezer);
        vm.prank(freezer);
        coin.unfreeze(alice, ORDER);
        vm.prank(alice);
        coin.transfer(bob, 1);
    }

    function test_aFreezeIsBoundedAndOnlyGrows() external {
        uint256 most = coin.FREEZE_MAX();
        _expectEndRefused(START, START + 1, START + most);
        _expectEndRefused(START + most + 1, START + 1, START + most);
        _freeze(alice, 2 days);
        _expectEndRefused(START + 2 days - 1, START + 2 days, START + most);
        _freeze(alice, most);
        vm.startPrank(freezer);
        vm.expectRevert(abi.encodeWithSelector(AIUSD.FreezeIncomplete.selector, alice, bytes32(0)));
        coin.freeze(alice, 0, uint48(START + most));
        vm.expectRevert(abi.encodeWithSelector(AIUSD.FreezeIncomplete.selector, address(0), ORDER));
        coin.freeze(address(0), ORDER, uint48(START + 1));
    }

    function test_aPermitApproves() external {
        bytes32 kind =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 message = keccak256(abi.encode(kind, alice, bob, 5, 0, START + 1));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", coin.DOMAIN_SEPARATOR(), message));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(aliceKey, digest);
        coin.permit(alice, bob, 5, START + 1, v, r, s);
        vm.prank(bob);
        coin.transferFrom(alice, bob, 5);
        _equal(coin.balanceOf(bob), FUNDS + 5, "bob");
    }

    function testFuzz_aFreezeHoldsExactlyUntilItsEnd(uint256 time, uint256 later, uint256 value) external {
        time = _within(time, 1, coin.FREEZE_MAX());
        value = _within(value, 0, FUNDS);
        _freeze(alice, time);
        vm.warp(START + _within(later, 0, 2 * coin.FREEZE_MAX()));
        vm.prank(alice);
        (bool done,) = address(coin).call(abi.encodeCall(coin.transfer, (bob, value)));
        _true(done == (block.timestamp >= START + time), "moved while frozen, or frozen too long");
        _equal(coin.balanceOf(alice) + coin.balanceOf(bob), 2 * FUNDS, "sum");
    }

    function _expectRefusal(address caller, bytes memory call, bytes memory refusal) private {
        vm.prank(caller);
        (bool done, bytes memory answer) = address(coin).call(call);
        _true(!done, "was not refused");
        _equal(keccak256(answer), keccak256(refusal), "refusal");
    }

    function _expectEndRefused(uint256 until, uint256 earliest, uint256 latest) private {
        vm.expectRevert(abi.encodeWithSelector(AIUSD.FreezeEndRefused.selector, until, earliest, latest));
        vm.prank(freezer);
        coin.freeze(alice, ORDER, uint48(until));
    }
}
